package testenv

import (
	"cmp"
	"path/filepath"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// session of the dnsd that share a store: the shortest, so that tests are quick.
const session = 2 * time.Second

// letters name the dnsd that share a store.
const letters = "abcdefghij"

// prepare makes the dnsd of the environment, not started.
func (e *Env) prepare(z dnsd.Zone) {
	e.t.Helper()
	n := e.setup.DNSDs
	if n < 2 {
		e.dnsds = []*server{{zone: addressed(z)}}
		return
	}
	if n > len(letters) {
		e.t.Fatalf("testenv: Setup.DNSDs is %d; at most %d", n, len(letters))
	}
	if e.setup.Stores == nil {
		e.store = &Store{memkv.New(memkv.Config{})}
	}
	for i := range n {
		d := &server{index: i, zone: addressed(z), hookLink: newLink(), dnsLink: newLink(), peerLinks: make([]*link, n)}
		for j := range i {
			l := newLink()
			d.peerLinks[j], e.dnsds[j].peerLinks[i] = l, l
		}
		shared := dnsd.SharedStore{}
		if z.Store.Shared != nil {
			shared = *z.Store.Shared
		}
		shared.Name = string(letters[i])
		shared.Listen = freeAddr() // known before the dnsd start, so that the links between them can be told apart
		shared.Session = cmp.Or(shared.Session, session)
		if shared.Dir != "" {
			shared.Dir = filepath.Join(shared.Dir, shared.Name)
		}
		if e.setup.Durable {
			shared.Cache = filepath.Join(e.t.TempDir(), shared.Name+".copy")
		}
		d.stores = e.setup.Stores
		if e.store != nil {
			s := &stores{cluster: e.store.cluster, name: shared.Name}
			d.stores, d.storeLink = s, newLink()
			d.storeLink.follow = s.follow
			shared.Endpoints = []string{"http://127.0.0.1:2379"} // stores asks for none
		}
		d.zone.Store = dnsd.Store{Kind: cmp.Or(z.Store.Kind, "etcd"), Shared: &shared}
		e.dnsds = append(e.dnsds, d)
	}
}

// addressed is a zone with addresses of its own where z has none. A restart needs them
// again, so the system must not give their ports to a client meanwhile.
func addressed(z dnsd.Zone) dnsd.Zone {
	if len(z.Bind) == 0 {
		z.Bind = []string{freeAddr()}
	}
	if z.Hook.Addr == "" {
		z.Hook.Addr = freeAddr()
	}
	return z
}

// freeAddr is an address that no one listens on, and that no client gets.
func freeAddr() string { return freeaddr.Take(1)[0].String() }

// Tests: store_test.go.
