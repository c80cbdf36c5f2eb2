package testenv

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
)

func TestDnsdForgetsEverything(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4) // not idempotent
	load.awaitCalls(t, 200)
	for range 3 {
		env.StopDNSD(0)
		env.StartDNSD(0)
		env.AwaitNodes()
		load.awaitCalls(t, 200)
	}
	load.finish(t)
}

// The dnsd of this test is a process of its own, so that kill -9 can end it.
func TestDnsdIsKilled(t *testing.T) {
	addrs := freeaddr.Take(2)
	path := filepath.Join(t.TempDir(), "svc.db")
	start := func() *peertest.Process {
		t.Helper()
		p := peertest.StartSelf(t, "dnsd", storeVar+"="+path, addrsVar+"="+addrs[0].String()+" "+addrs[1].String())
		for range 2 { // it prints its two addresses
			if _, err := p.Line(); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	p := start()
	env := &Env{t: t, ctx: t.Context(), setup: Setup{Service: "_math._tcp", Logger: slog.New(slog.DiscardHandler)}}
	env.prepare(dnsd.Zone{Bind: []string{addrs[0].String()}, Hook: dnsd.Hook{Addr: addrs[1].String()}})
	t.Cleanup(env.stop)
	for range 3 {
		env.AddNode()
	}
	env.AwaitNodes()
	load := startLoad(t, env.Client(nil), 4)
	load.awaitCalls(t, 200)

	p.Kill()
	if _, err := env.Resolver().Lookup(t.Context(), env.Name()); err == nil {
		t.Error("dnsd is dead, and a new resolver gets an answer")
	}
	load.awaitCalls(t, 2000) // calls go on

	start()
	// What was acknowledged is in the store, whether or not it was registered again.
	if got := len(env.Published()); got != 3 {
		t.Errorf("after the restart %d instances are published, want 3", got)
	}
	env.Await("all leases are confirmed", func(in []register.Published) bool {
		up := 0
		for _, i := range in {
			if i.State == "up" {
				up++
			}
		}
		return up == 3
	})
	load.awaitCalls(t, 200)
	load.finish(t)
}

func TestTheNetworkBetweenDnsdAndTheInstancesBreaks(t *testing.T) {
	env := New(t, Setup{Nodes: 4})
	env.CutHook(true)
	env.Await("instances that cannot renew are suspects, none is gone", func(in []register.Published) bool {
		if len(in) < 4 {
			t.Fatalf("only %s are left", describe(in))
		}
		for _, i := range in {
			if i.State != "suspect" {
				return false
			}
		}
		return true
	})
	s, err := env.Resolver().Lookup(t.Context(), env.Name())
	if err != nil || len(s.Endpoints) != 4 || s.Endpoints[0].Priority != 1010 {
		t.Errorf("suspects in DNS: got %+v, %v; want 4 at priority 1010", s.Endpoints, err)
	}
	env.CutHook(false)
	env.Await("all are up again", func(in []register.Published) bool {
		for _, i := range in {
			if i.State != "up" {
				return false
			}
		}
		return len(in) == 4
	})
}
