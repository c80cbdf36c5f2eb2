package dnsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/register"
)

var _ hook.Cluster = (*membership)(nil)

// Status implements hook.Cluster.
func (m *membership) Status(ctx context.Context) (register.Cluster, error) {
	s := m.member.Status(ctx)
	c := register.Cluster{Name: s.Name, Writer: s.Writer, Etcd: &register.ClusterEtcd{
		Inside: m.inside(), Version: s.Store.Version, Bytes: s.Store.Size, Quota: s.Store.Quota, Error: s.Store.Error,
	}}
	for _, p := range s.Members {
		c.Members = append(c.Members, register.ClusterMember{
			Name: p.Name, Role: register.ClusterRole(p.Role), Revision: p.Revision, Hook: p.Hook, Address: p.Address, Lag: p.Lag, Version: p.Version, Knows: p.Knows, CertificateEnds: p.CertificateEnds, Error: p.Error,
		})
	}
	for _, n := range s.Store.Nodes {
		p := register.ClusterPeer{Name: n.Name, Peer: n.URL, Leader: n.Leader, Error: n.Error}
		if p.Error == "" && !n.Healthy {
			p.Error = "it does not answer"
		}
		c.Etcd.Members = append(c.Etcd.Members, p)
	}
	if s.Store.Alarm != "" {
		c.Etcd.Error = alarmed(s.Store.Alarm)
	}
	if !s.Store.Healthy {
		c.Etcd.Away = register.Duration(time.Duration(s.Store.Silent * float64(time.Second)).Round(time.Millisecond))
		if c.Etcd.Error == "" {
			c.Etcd.Error = "it does not answer"
		}
	}
	return c, nil
}

// alarmed says what an alarm of etcd means, and where the cure is.
func alarmed(alarm string) string {
	text := "etcd has raised the alarm " + alarm
	if strings.Contains(alarm, "NOSPACE") {
		text += ": its quota is used up, and nothing can be registered; see \"When etcd is full\" in docs/cluster.md"
	}
	if strings.Contains(alarm, "CORRUPT") {
		text += ": its servers do not have the same data; remove the one that differs, and add it again"
	}
	return text
}

// inside says whether the servers of the store run inside the dnsd.
func (m *membership) inside() bool { return m.kind == "cluster" }

// AddMember implements hook.Cluster.
func (m *membership) AddMember(ctx context.Context, name, peer string) error {
	store, ok := m.store.(kv.Members)
	if !ok || !m.inside() {
		return hook.ErrNotInside
	}
	if err := checkName(name); err != nil {
		return &registry.FieldError{Field: "name", Value: name, Problem: "must be 1 to 63 letters, digits, dots and hyphens"}
	}
	urls, err := normalURLs([]string{peer}, examplePeer, m.cfg.Insecure, func(_ int, err error) error { return err })
	if err != nil {
		return &registry.FieldError{Field: "peer", Value: peer, Problem: err.Error()}
	}
	first, err := parseServerURL(m.cfg.Peers[0].URL, examplePeer)
	if err == nil && first.secure != urls[0].secure {
		return &registry.FieldError{Field: "peer", Value: peer, Problem: fmt.Sprintf("must begin as that of the other peers, such as %s", first)}
	}
	// A server that has not started has no name. To add it again does no harm.
	taken := func(n kv.Node) bool { return n.Name == name || n.URL == urls[0].String() && n.Name != "" }
	if i := slices.IndexFunc(m.store.Status(ctx).Nodes, taken); i >= 0 {
		return hook.ErrMemberExists
	}
	return notNow(store.AddMember(ctx, name, urls[0].String()))
}

// RemoveMember implements hook.Cluster. A server that was added and has not started has no
// name. It is removed by the host and port of its URL, which have no slash, so that they
// fit into the path of a request.
func (m *membership) RemoveMember(ctx context.Context, name string) error {
	store, ok := m.store.(kv.Members)
	if !ok || !m.inside() {
		return hook.ErrNotInside
	}
	nodes := m.store.Status(ctx).Nodes
	if len(nodes) == 0 || name != "" && slices.ContainsFunc(nodes, func(n kv.Node) bool { return n.Name == name }) {
		return notNow(store.RemoveMember(ctx, name))
	}
	var waiting []string
	for _, n := range nodes {
		_, place, _ := strings.Cut(n.URL, "://")
		switch {
		case n.Name != "" || place == "":
		case place == name:
			return notNow(store.RemoveMember(ctx, n.URL))
		default:
			waiting = append(waiting, place)
		}
	}
	if len(waiting) > 0 {
		return fmt.Errorf("%w: one that has not started has no name yet, and is removed as %s", hook.ErrNoMember, strings.Join(waiting, " or "))
	}
	return hook.ErrNoMember
}

// notNow marks the errors of a store that cannot change its servers now.
func notNow(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", hook.ErrNotNow, err)
}

// ready says why this dnsd should get no traffic. After nil no answer says that its content
// is old.
func (m *membership) ready() error {
	if why := m.look().Reason; why != "" {
		return errors.New(why)
	}
	return nil
}

// Tests: membership_test.go, several_test.go.
