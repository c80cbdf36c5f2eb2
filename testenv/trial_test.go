package testenv

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/testenv/history"
)

// A trial is three dnsd that share a store, three nodes, clients that call them, and a
// recorder that writes and watches at all three dnsd.
type trial struct {
	*Env
	t     *testing.T
	ctx   context.Context
	rec   *history.Recorder
	calls *load
}

// nodeLease of the nodes is the shortest time in which something can expire.
const nodeLease = 2 * time.Second

func startTrial(t *testing.T) *trial {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	env := New(t, Setup{DNSDs: 3, Zone: dnsd.Zone{
		Lease:    dnsd.Lease{Default: nodeLease, Min: nodeLease},
		Transfer: dnsd.Transfer{To: []dnsd.Secondary{{Addr: "127.0.0.1/32"}}},
	}})
	c := env.Client(nil)
	rec, err := history.Start(ctx, history.Config{Hooks: env.HookURLs(), DNS: env.DNSAddrs(), Dial: env.Dial, Timeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{Env: env, t: t, ctx: ctx, rec: rec, calls: startCalls(t, c, 2, 2*time.Millisecond)}
	tr.writes(-1, 50)
	return tr
}

// writes waits until a dnsd has acknowledged n more writes; -1 is any.
func (tr *trial) writes(at, n int) {
	tr.t.Helper()
	if err := tr.rec.AwaitWrites(tr.ctx, at, n); err != nil {
		tr.t.Fatal(err)
	}
}

// finish checks what all clients and watchers saw. No call may have failed, and no node may
// have left DNS.
func (tr *trial) finish() *history.History {
	tr.t.Helper()
	tr.calls.awaitCalls(tr.t, 50)
	h, err := tr.rec.Finish(tr.ctx)
	if err != nil {
		tr.t.Error(err)
	}
	if err := h.Check(); err != nil {
		tr.t.Error(err)
	}
	tr.calls.finish(tr.t)
	for _, s := range h.Streams {
		for _, p := range s.Parts {
			for _, e := range p.Events {
				if e.Service == tr.setup.Service && (e.Deleted || e.State != "up") {
					tr.t.Fatalf("%s saw a node that did not stay: %s", s.Name, e.Data)
				}
			}
		}
	}
	return h
}

// answered says that DNS of a dnsd has answered every question of the clients.
func (tr *trial) answered(h *history.History, at int) {
	tr.t.Helper()
	for _, o := range h.Ops {
		if o.At == at && o.Kind == history.Query && o.Outcome != history.Done {
			tr.t.Errorf("DNS did not answer: %v", o)
		}
	}
	if h.Count(history.Done, at, history.Query) == 0 {
		tr.t.Errorf("DNS of dnsd %d was not asked", at)
	}
}

// pausedFor says that writes were not acknowledged for less than a time. The machine may
// be busy.
func (tr *trial) pausedFor(h *history.History, most time.Duration) {
	tr.t.Helper()
	if gap, began := h.Gap(); gap > most+busy {
		tr.t.Errorf("no write was acknowledged for %v, from %v on; want at most %v", gap, began, most)
	}
}

// busy is how much later than promised something may be on a machine that runs other
// tests.
const busy = 3 * time.Second

// others are the dnsd but one.
func others(i int) (a, b int) { return (i + 1) % 3, (i + 2) % 3 }

// put registers an instance of another service.
func (tr *trial) put(at int, id string) *http.Response {
	tr.t.Helper()
	req, err := http.NewRequestWithContext(tr.ctx, http.MethodPut, tr.HookURLs()[at]+"/v1/services/_other._tcp/instances/"+id, strings.NewReader(`{"port":1,"lease":"1h"}`))
	if err != nil {
		tr.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tr.t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}
