package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// AddMember implements [kv.Members]. The name is the new server's own; etcd learns it when
// that has started.
func (e *embedded) AddMember(ctx context.Context, name, peer string) error {
	own, _ := url.Parse(e.own.URL)
	u, err := url.Parse(peer)
	if err != nil || u.Scheme != own.Scheme || u.Hostname() == "" || u.Port() == "" || u.Path != "" {
		return fmt.Errorf("add member %s: bad URL %q; expected one such as %s://10.0.0.4:2380", name, peer, own.Scheme)
	}
	members, err := e.members(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.GetName() == name {
			return fmt.Errorf("add member %s: there is one of this name, at %s: remove it first, or use another name", name, strings.Join(m.GetPeerURLs(), ", "))
		}
		for _, at := range m.GetPeerURLs() {
			if at == peer && m.GetName() == "" {
				return nil // asked for again
			}
			if at == peer {
				return fmt.Errorf("add member %s: member %s is at %s", name, m.GetName(), peer)
			}
		}
	}
	return advise("add", name, e.write(ctx, "add member "+name, func(ctx context.Context, s *server) error {
		_, err := s.cluster.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{peer}})
		return err
	}))
}

// RemoveMember implements [kv.Members]. A member that has not started has no name yet: it
// is named by its URL.
func (e *embedded) RemoveMember(ctx context.Context, name string) error {
	members, err := e.members(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, m := range members {
		called := m.GetName()
		if called == "" {
			called = strings.Join(m.GetPeerURLs(), ",")
		}
		if called == name {
			return advise("remove", name, e.write(ctx, "remove member "+name, func(ctx context.Context, s *server) error {
				_, err := s.cluster.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: m.GetID()})
				return err
			}))
		}
		names = append(names, called)
	}
	slices.Sort(names)
	return fmt.Errorf("remove member %s: there is none of this name; the members are %s", name, strings.Join(names, ", "))
}

// advise adds to an error of etcd what an operator can do.
func advise(do, name string, err error) error {
	var f *fault
	if err == nil || !errors.As(err, &f) {
		return err
	}
	var cure string
	switch {
	case f.is(rpctypes.ErrMemberNotEnoughStarted):
		cure = "the others would be no majority: first start, or remove, what was added and does not run"
	case f.is(rpctypes.ErrUnhealthy):
		cure = "not all members are up, or one of them for less than 5 seconds: try again when all are up"
	default:
		return err
	}
	return fmt.Errorf("%s member %s: %s (%w)", do, name, cure, err)
}

// is says whether a fault is etcd's error e.
func (f *fault) is(e error) bool {
	return strings.HasSuffix(e.Error(), f.cause.Error())
}

// Status implements [kv.Store]. This server is asked for itself and for the members, and
// each of those whether it answers.
func (e *embedded) Status(ctx context.Context) kv.Status { return e.status(ctx, e.client) }

func (e *embedded) status(ctx context.Context, c *client) kv.Status {
	st := c.Status(ctx)
	if why := e.why(); why != nil {
		st.Error = "etcd has ended: " + why.Error()
		return st
	}
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	var all sync.WaitGroup
	for i := range st.Nodes {
		n := &st.Nodes[i]
		if n.URL == e.own.URL || n.URL == "" {
			continue
		}
		all.Go(func() {
			n.Healthy, n.Error = true, ""
			if err := e.peers.alive(ctx, n.URL); err != nil {
				n.Healthy, n.Error = false, err.Error()
			}
		})
	}
	all.Wait()
	return st
}

// Tests: members_test.go.
