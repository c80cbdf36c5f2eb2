package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/dnsd/cluster"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/testenv"
	"github.com/rollcall-dns/rollcall/testenv/history"
)

// TestHistoryOfThreeDnsdWithEtcdInside: an environment of package testenv has the real
// store, and nothing that it acknowledges is lost while the writer stops and comes back.
func TestHistoryOfThreeDnsdWithEtcdInside(t *testing.T) {
	t.Parallel() // it waits more than it works
	shared := &dnsd.SharedStore{Dir: t.TempDir()}
	for i, addr := range freeaddr.Take(3) {
		shared.Peers = append(shared.Peers, dnsd.Peer{Name: string(rune('a' + i)), URL: "http://" + addr.String()})
	}
	env := testenv.New(t, testenv.Setup{DNSDs: 3, Stores: cluster.Stores{}, Zone: dnsd.Zone{
		Store:    dnsd.Store{Kind: "cluster", Shared: shared},
		Transfer: dnsd.Transfer{To: []dnsd.Secondary{{Addr: "127.0.0.1/32"}}},
	}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rec, err := history.Start(ctx, history.Config{Hooks: env.HookURLs(), DNS: env.DNSAddrs(), Dial: env.Dial})
	if err != nil {
		t.Fatal(err)
	}
	await := func(at int) {
		t.Helper()
		if err := rec.AwaitWrites(ctx, at, 30); err != nil {
			t.Fatal(err)
		}
	}
	await(-1)
	i := env.Writer()
	env.StopDNSD(i)
	await((i + 1) % 3)
	env.StartDNSD(i)
	await(i)
	h, err := rec.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
}
