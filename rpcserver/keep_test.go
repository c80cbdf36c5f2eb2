package rpcserver_test

import (
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Of several dnsd that share a registry, one that is away is not missed, neither when the
// server begins nor when it ends.
func TestServerIsAnnouncedByAnyOfItsHooks(t *testing.T) {
	away := freeaddr.Take(1)[0]
	h, url := newHook(t)
	began := time.Now()
	s, _ := serve(t, rpcserver.Config{
		Quiet:    20 * time.Millisecond,
		Announce: []register.Config{{Hooks: []string{"http://" + away.String(), url}, Service: "_math._tcp"}},
	}, newArith())
	if err := s.Announced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.registered() == nil || s.Leases()[0].Status().Hook != url {
		t.Errorf("registered at %s", s.Leases()[0].Status().Hook)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if h.registered() != nil {
		t.Error("still registered")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
