package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// A group is a cluster of servers in this process.
type group struct {
	t     testing.TB
	base  dnsd.SharedStore // Peers, and what all have
	dirs  map[string]string
	open  map[string]*embedded
	certs map[string]dnsd.TLS
	sync  bool // as in real life: transactions are synced, and elections take their time
}

// newGroup names servers a, b, c and so on, and starts none.
func newGroup(t testing.TB, n int, ca *authority) *group {
	t.Helper()
	g := &group{t: t, dirs: map[string]string{}, open: map[string]*embedded{}, certs: map[string]dnsd.TLS{}}
	if ca != nil {
		g.base.CA = ca.file
	}
	for i, addr := range freeaddr.Take(n) {
		g.add(string(rune('a'+i)), addr.String(), ca)
	}
	t.Cleanup(func() {
		for _, e := range g.open {
			e.Close()
		}
	})
	return g
}

// add adds the line of a peer.
func (g *group) add(name, addr string, ca *authority) dnsd.Peer {
	scheme := "http"
	if ca != nil {
		scheme = "https"
		f := ca.issue()
		g.certs[name] = dnsd.TLS{Cert: f.cert, Key: f.key}
	}
	p := dnsd.Peer{Name: name, URL: scheme + "://" + addr}
	g.base.Peers = append(g.base.Peers, p)
	g.dirs[name] = filepath.Join(g.t.TempDir(), name)
	return p
}

// config is that of one server.
func (g *group) config(name string) dnsd.SharedStore {
	s := g.base
	s.Peers = slices.Clone(s.Peers)
	s.Name, s.Dir, s.TLS = name, g.dirs[name], g.certs[name]
	return s
}

// try starts a server.
func (g *group) try(s dnsd.SharedStore) (*embedded, error) {
	if err := (Stores{}).Check(s); err != nil {
		return nil, err
	}
	store, err := openCluster(context.Background(), s, testLog(g.t).With("peer", s.Name), func(cfg *embed.Config) {
		if !g.sync {
			cfg.UnsafeNoFsync = true // the tests kill no machine
		}
	})
	if err != nil {
		return nil, err
	}
	return store.(*embedded), nil
}

// start starts servers that have to start.
func (g *group) start(names ...string) {
	g.t.Helper()
	for _, name := range names {
		e, err := g.try(g.config(name))
		if err != nil {
			g.t.Fatalf("%s: %v", name, err)
		}
		g.open[name] = e
	}
}

// stop stops a server.
func (g *group) stop(name string) {
	g.t.Helper()
	if err := g.open[name].Close(); err != nil {
		g.t.Fatal(err)
	}
	delete(g.open, name)
}

// works waits until a server can write, and writes.
func (g *group) works(names ...string) {
	g.t.Helper()
	for _, name := range names {
		var err error
		await(g.t, func() bool {
			_, err = g.open[name].Txn(soon(g.t, patience), put("/works/"+name, "yes"))
			return err == nil
		})
	}
}

// all waits until every server knows the same members, which have all started.
func (g *group) all(n int) {
	g.t.Helper()
	await(g.t, func() bool {
		for _, e := range g.open {
			st := e.Status(soon(g.t, statusTime))
			if len(st.Nodes) != n || slices.ContainsFunc(st.Nodes, func(n kv.Node) bool { return !n.Healthy || n.Name == "" }) {
				return false
			}
		}
		return true
	})
}

func (g *group) get(name, key string) string {
	g.t.Helper()
	p, _, err := g.open[name].Get(soon(g.t, patience), key)
	switch {
	case err != nil:
		return fmt.Sprint(err)
	case p == nil:
		return ""
	}
	return string(p.Value)
}

func isUnavailable(err error) bool {
	return errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, kv.ErrUncertain)
}
