package hook

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/timeline"
	"github.com/rollcall-dns/rollcall/internal/release"
	"github.com/rollcall-dns/rollcall/register"
)

// Cluster is the dnsd that share the registry, its members.
type Cluster interface {
	// Status describes the members. It does not wait for those that do not answer: their
	// ClusterMember.Error says so.
	Status(ctx context.Context) (register.Cluster, error)
	// AddMember lets a dnsd join in whose own directory a server of the store will run.
	//
	// Errors: *registry.FieldError (name or peer), ErrMemberExists, ErrNotInside,
	// ErrNotNow.
	AddMember(ctx context.Context, name, peer string) error
	// RemoveMember removes a member and its server of the store.
	//
	// Errors: ErrNoMember, ErrNotInside, ErrNotNow.
	RemoveMember(ctx context.Context, name string) error
}

// The errors of a Cluster. The text of an error that wraps one is shown to the client: it has
// an admin's token.
var (
	ErrNoMember     = errors.New("hook: no such member")
	ErrMemberExists = errors.New("hook: this member is there already")
	ErrNotInside    = errors.New("hook: the store is not inside dnsd")
	ErrNotNow       = errors.New("hook: the members cannot be changed now") // most of them do not answer, for example
)

// statusTime bounds a Status: less than the time of a write, so that the answer still
// arrives.
const statusTime = 3 * time.Second

// memberTime bounds a change of the members: each server of the store must hear of it.
const memberTime = 15 * time.Second

// showCluster answers with the members. A dnsd that shares with no other is the only one.
func (x *exchange) showCluster() error {
	if err := x.need(Read, ""); err != nil {
		return err
	}
	if _, err := x.query(); err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	if x.st.cluster == nil {
		return x.json(http.StatusOK, x.alone())
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), statusTime)
	defer cancel()
	c, err := x.st.cluster.Status(ctx)
	if err != nil {
		return err
	}
	if c.Members == nil {
		c.Members = []register.ClusterMember{}
	}
	return x.json(http.StatusOK, c)
}

// alone is the cluster of a dnsd that shares its registry with no other.
func (x *exchange) alone() register.Cluster {
	name, err := os.Hostname()
	if err != nil {
		name = "dnsd" // a host without a name
	}
	only := register.ClusterMember{Name: name, Role: register.ClusterWriter, Revision: x.st.registry.Revision(), Hook: x.s.URL(), Version: release.Rollcall()}
	if err := x.st.whyNotReady(); err != nil {
		only.Error = err.Error()
	}
	return register.Cluster{Name: name, Writer: name, Members: []register.ClusterMember{only}}
}

// addMember lets another dnsd join in.
func (x *exchange) addMember() error {
	if err := x.mayChangeMembers(); err != nil {
		return err
	}
	body, err := x.readBody()
	if err != nil {
		return err
	}
	var peer register.ClusterPeer
	seen, err := decodeObject(body, []member{
		{"name", &peer.Name, `text: the name of the member, such as "d"`},
		{"peer", &peer.Peer, `text: the URL of its peer line, such as "https://10.0.0.4:2380"`},
	})
	if err != nil {
		return err
	}
	for _, field := range []string{"name", "peer"} {
		if !seen[field] {
			return refuse(http.StatusBadRequest, field, `%s is missing: {"name":"d","peer":"https://10.0.0.4:2380"}`, field)
		}
	}
	x.audit.object = peer.Name
	err = x.changeMembers(func(ctx context.Context) error { return x.st.cluster.AddMember(ctx, peer.Name, peer.Peer) })
	if err != nil {
		return err
	}
	x.audit.result, x.audit.host = "added", peer.Peer
	x.note(timeline.MemberAdded, "", peer.Name+" at "+peer.Peer+" may join in")
	return x.json(http.StatusCreated, peer)
}

// removeMember removes a dnsd, which may be gone for good.
func (x *exchange) removeMember() error {
	name := x.r.PathValue("name")
	x.audit.object = name
	if err := x.mayChangeMembers(); err != nil {
		return err
	}
	err := x.changeMembers(func(ctx context.Context) error { return x.st.cluster.RemoveMember(ctx, name) })
	if err != nil {
		return err
	}
	x.audit.result = "removed"
	x.note(timeline.MemberRemoved, "", cut(name))
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (x *exchange) mayChangeMembers() error {
	if err := x.need(Admin, ""); err != nil {
		return err
	}
	_, err := x.query()
	return err
}

// changeMembers makes a change, and a refusal of its error.
func (x *exchange) changeMembers(change func(context.Context) error) error {
	if x.st.cluster == nil {
		return refuse(http.StatusNotImplemented, "", "this dnsd shares its registry with no other: give it the directive store cluster, see docs/corefile.md")
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), memberTime)
	defer cancel()
	err := change(ctx)
	var field *registry.FieldError
	switch {
	case err == nil, errors.As(err, &field):
		return err
	case errors.Is(err, ErrNoMember):
		return refuse(http.StatusNotFound, "name", "no such member%s: GET /v1/cluster lists them", causeOf(err, ErrNoMember)).because(err)
	case errors.Is(err, ErrMemberExists):
		return refuse(http.StatusConflict, "name", "this member is there already%s: give another name and peer, or remove it first", causeOf(err, ErrMemberExists)).because(err)
	case errors.Is(err, ErrNotInside):
		return refuse(http.StatusNotImplemented, "", "the store is not inside dnsd%s: every dnsd with the same store and prefix is a member by itself; change the servers of etcd with etcdctl", causeOf(err, ErrNotInside)).because(err)
	case errors.Is(err, ErrNotNow):
		return refuse(http.StatusServiceUnavailable, "", "the members cannot be changed now%s: try again", causeOf(err, ErrNotNow)).retryAfter(time.Second).because(err)
	}
	return err
}

// problemOf is the refusal of an error. The errors of a store that several dnsd share name
// no path of this host, so the sender of a write sees the cause.
func (x *exchange) problemOf(err error) *problem {
	switch {
	case x.st.cluster == nil:
	case errors.Is(err, registry.ErrNoSpace):
		return refuse(http.StatusInsufficientStorage, "", "the store that the dnsd share has no space left: compact and defragment etcd or raise its quota, then disarm its alarm").because(err)
	case errors.Is(err, registry.ErrStore):
		return refuse(http.StatusServiceUnavailable, "", "the store that the dnsd share takes no changes now%s: try again", causeOf(err, registry.ErrStore)).retryAfter(time.Second).because(err)
	}
	return problemOf(err)
}
