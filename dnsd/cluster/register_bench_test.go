package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/member"
	"github.com/rollcall-dns/rollcall/dnsd/internal/peer"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// BenchmarkRegister registers instances durably at three members, for 64 clients at once:
// at the one that is the writer, at one that passes them on, and in turn at all; and puts
// the same values into the same store under a lease each. Everything is in one process,
// with the syncs of the disk (that of TMPDIR); bench/cluster has the processes.
func BenchmarkRegister(b *testing.B) {
	const clients = 64
	c := startMembers(b)
	var next atomic.Int64
	load := func(b *testing.B, register func(ctx context.Context, n int64) error) {
		var done atomic.Int64
		var wg sync.WaitGroup
		commits := c.commits()
		b.ResetTimer()
		for range clients {
			wg.Go(func() {
				for done.Add(1) <= int64(b.N) {
					if err := register(b.Context(), next.Add(1)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "registrations/s")
		if commits = c.commits() - commits; commits > 0 {
			b.ReportMetric(float64(b.N)/float64(commits), "registrations/commit")
		}
	}
	at := func(writers ...registry.Writer) func(context.Context, int64) error {
		return func(ctx context.Context, n int64) error {
			_, err := writers[n%int64(len(writers))].Register(ctx, benchInstance(n))
			return err
		}
	}
	b.Run("etcd", func(b *testing.B) {
		load(b, func(ctx context.Context, n int64) error {
			store := c.all[n%int64(len(c.all))].store
			lease, err := store.Grant(ctx, time.Hour)
			if err != nil {
				return err
			}
			in := benchInstance(n)
			value := fmt.Sprintf(`{"host":%q,"port":%d,"priority":%d,"weight":%d,"lease":"1h"}`, in.Host, in.Port, in.Priority, in.Weight)
			r, err := store.Txn(ctx, kv.Txn{Then: []kv.Op{{Key: fmt.Sprintf("/leased/%s/%s", in.Service, in.ID), Value: []byte(value), Lease: lease.ID}}})
			if err == nil && !r.Done {
				err = errors.New("a put without conditions was not done")
			}
			return err
		})
	})
	writer, followers := c.roles(b)
	b.Run("at=writer", func(b *testing.B) { load(b, at(writer.writes)) })
	b.Run("at=follower", func(b *testing.B) { load(b, at(followers[0].writes)) })
	b.Run("at=all", func(b *testing.B) { load(b, at(writer.writes, followers[0].writes, followers[1].writes)) })
}

func benchInstance(n int64) registry.Instance {
	return registry.Instance{
		Key:  registry.Key{Service: fmt.Sprintf("_s%d._tcp", n/10), ID: fmt.Sprintf("a%d", n)},
		Host: fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255), Port: 8080, Priority: 10, Weight: 100,
		Lease: time.Hour,
	}
}

// benchMembers are three members that share a store on three servers of etcd.
type benchMembers struct{ all []*benchMember }

// benchMember is one of them, without DNS and hook.
type benchMember struct {
	store    kv.Store
	registry *registry.Registry
	member   *member.Member
	writes   *peer.Writes
}

// Writer implements [peer.Members].
func (m *benchMember) Writer() (peer.Target, <-chan struct{}, error) {
	changed := m.member.Changed()
	p, ok := m.member.Writer()
	if !ok {
		return peer.Target{}, changed, errors.New("no member is the writer")
	}
	f, err := peer.ParseFingerprint(p.Certificate)
	return peer.Target{Name: p.Name, Address: p.Address, Fingerprint: f}, changed, err
}

func (m *benchMember) knows(f peer.Fingerprint) bool {
	_, ok := m.member.Known(f.String())
	return ok
}

// commits of the writer so far.
func (c *benchMembers) commits() (n uint64) {
	for _, m := range c.all {
		n += m.registry.Stats().Commits
	}
	return n
}

// roles tells the writer from its followers.
func (c *benchMembers) roles(b *testing.B) (writer *benchMember, followers []*benchMember) {
	for _, m := range c.all {
		if m.registry.Leads() {
			writer = m
		} else {
			followers = append(followers, m)
		}
	}
	if writer == nil {
		b.Fatal("no member is the writer")
	}
	return writer, followers
}

// startMembers starts three servers and a member on each, until the benchmark ends.
func startMembers(b *testing.B) *benchMembers {
	g := newGroup(b, 3, nil)
	g.sync = true
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	c := new(benchMembers)
	for _, name := range []string{"a", "b", "c"} {
		c.all = append(c.all, startMember(b, name, g.open[name]))
	}
	await(b, func() bool {
		n := 0
		for _, m := range c.all {
			if m.registry.Leads() {
				n++
				if m.store.(*embedded).leads() { // it is about to step aside
					return false
				}
			}
			if m.member.Ready() != nil || len(m.member.Peers()) != len(c.all) {
				return false
			}
		}
		return n == 1
	})
	return c
}

// startMember starts a member on the store of one server.
func startMember(b *testing.B, name string, store kv.Store) *benchMember {
	log := testLog(b)
	reg, err := registry.Open(registry.Config{Follow: true, Logger: log, Limits: registry.Limits{Instances: 10_000_000}})
	if err != nil {
		b.Fatal(err)
	}
	me, err := peer.NewIdentity()
	if err != nil {
		b.Fatal(err)
	}
	m := &benchMember{store: store, registry: reg}
	door, err := peer.Listen(peer.ServerConfig{Name: name, Addr: "127.0.0.1:0", Identity: me, Known: m.knows, Registry: reg, Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	m.member, err = member.New(member.Config{
		Store: store, Registry: reg, Prefix: "/rollcall/svc", Zone: "svc.", Name: name,
		Address: door.Addr().String(), Certificate: me.Fingerprint().String(), Logger: log,
	})
	if err != nil {
		b.Fatal(err)
	}
	client := peer.NewClient(me, nil)
	m.writes = peer.NewWrites(peer.WritesConfig{Registry: reg, Members: m, Client: client, Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { reg.Run(ctx) })
	parts.Go(func() { door.Run(ctx) })
	parts.Go(func() { m.member.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		parts.Wait()
		m.writes.Close()
		client.Close()
		reg.Close()
	})
	return m
}
