package testenv

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/testenv/history"
)

func TestTheWriterOfSeveralDnsdIsKilled(t *testing.T) {
	tr := startTrial(t)
	w := tr.Writer()
	a, b := others(w)
	tr.KillDNSD(w)
	if next := tr.Writer(w); next == w {
		t.Fatalf("the writer is still dnsd %d", w)
	}
	tr.writes(a, 30)
	tr.writes(b, 30)
	tr.StartDNSD(w)
	tr.writes(w, 30)
	h := tr.finish()
	tr.answered(h, a)
	tr.answered(h, b)
	tr.pausedFor(h, session+2*time.Second)
}

func TestTheWriterOfSeveralDnsdStopsByItself(t *testing.T) {
	tr := startTrial(t)
	for range 3 {
		w := tr.Writer()
		a, _ := others(w)
		tr.StopDNSD(w)
		tr.writes(a, 30)
		tr.StartDNSD(w)
		tr.writes(w, 30)
	}
	tr.pausedFor(tr.finish(), 500*time.Millisecond)
}

func TestTheWriterIsFrozenPastItsSession(t *testing.T) {
	tr := startTrial(t)
	w := tr.Writer()
	a, b := others(w)
	tr.PauseDNSD(w)
	tr.Writer(w)
	tr.writes(a, 30)
	tr.ResumeDNSD(w)
	tr.writes(w, 30)
	h := tr.finish()
	tr.answered(h, a)
	tr.answered(h, b)
	tr.pausedFor(h, session+2*time.Second)
}

func TestTheWriterIsCutOffFromTheStore(t *testing.T) {
	for _, b := range []Break{Cut, Stuck} {
		t.Run(b.String(), func(t *testing.T) {
			tr := startTrial(t)
			w := tr.Writer()
			tr.Break(StoreLink(w), b)
			tr.Writer(w)
			tr.writes(-1, 60)
			tr.Break(StoreLink(w), Whole)
			tr.writes(w, 30)
			h := tr.finish()
			for i := range 3 {
				tr.answered(h, i)
			}
			tr.pausedFor(h, session+2*time.Second)
		})
	}
}

func TestAFollowerIsCutOffFromTheStore(t *testing.T) {
	for _, b := range []Break{Cut, Stuck} {
		t.Run(b.String(), func(t *testing.T) {
			tr := startTrial(t)
			f, _ := others(tr.Writer())
			tr.Break(StoreLink(f), b)
			tr.writes(-1, 200)
			tr.Break(StoreLink(f), Whole)
			tr.writes(f, 30)
			h := tr.finish()
			for i := range 3 {
				tr.answered(h, i)
			}
			tr.pausedFor(h, time.Second)
		})
	}
}

func TestTheNetworkBetweenSeveralDnsdBreaks(t *testing.T) {
	for _, b := range []Break{Cut, Stuck, Deaf} {
		t.Run(b.String(), func(t *testing.T) {
			tr := startTrial(t)
			w := tr.Writer()
			x, y := others(w)
			tr.Break(PeerLink(w, x), b)
			tr.writes(y, 100)
			tr.Break(PeerLink(w, x), Whole)
			tr.writes(x, 30)
			h := tr.finish()
			for i := range 3 {
				tr.answered(h, i)
			}
		})
	}
}

func TestOneDnsdIsCutOffFromItsRegistrars(t *testing.T) {
	tr := startTrial(t)
	for i := range 3 {
		tr.Break(HookLink(i), Cut)
		a, _ := others(i)
		tr.writes(a, 100)
		time.Sleep(nodeLease) // the nodes renew elsewhere
		tr.Break(HookLink(i), Whole)
		tr.writes(i, 10)
	}
	h := tr.finish()
	for i := range 3 {
		tr.answered(h, i)
	}
}

func TestTheStoreIsAwayForSeveralLeases(t *testing.T) {
	tr := startTrial(t)
	tr.Store().Stop()
	away := time.After(3*nodeLease + session)
	for {
		resp := tr.put(0, "a")
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a registration: %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
			break
		}
		select {
		case <-time.After(nodeLease / 4):
			continue
		case <-away:
		}
		break
	}
	tr.Store().Start()
	for i := range 3 {
		tr.writes(i, 30)
	}
	h := tr.finish()
	for i := range 3 {
		tr.answered(h, i)
	}
}

func TestADnsdStartsWhileTheStoreIsAway(t *testing.T) {
	for _, c := range []struct {
		name    string
		durable bool
		rcode   int
		ede     uint16
	}{
		{"with a copy", true, dns.RcodeSuccess, dns.ExtendedErrorCodeStaleAnswer},
		{"without a copy", false, dns.RcodeServerFailure, dns.ExtendedErrorCodeNotReady},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := New(t, Setup{DNSDs: 2, Durable: c.durable})
			calls := startCalls(t, env.Client(nil), 1, time.Millisecond)
			if c.durable {
				path := env.dnsd(1).zone.Store.Shared.Cache
				awaitCount(t, "instances in the local copy", func() int64 {
					text, _ := os.ReadFile(path) // it is written within a second
					return int64(strings.Count(string(text), `"_math._tcp"`))
				}, 3)
			}
			env.StopDNSD(1)
			env.Store().Stop()
			env.StartDNSD(1)
			ask := func() *dns.Msg {
				t.Helper()
				m := new(dns.Msg).SetQuestion(env.Name(), dns.TypeSRV).SetEdns0(1232, false)
				answer, _, err := (&dns.Client{Timeout: patience}).Exchange(m, env.DNSAddrs()[1])
				if err != nil {
					t.Fatal(err)
				}
				return answer
			}
			// The store is given a moment before the copy is served.
			for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				answer := ask()
				if answer.Rcode == c.rcode && (!c.durable || len(answer.Answer) == 3) && extendedError(answer) == c.ede {
					break
				}
				if answer.Rcode == dns.RcodeNameError || time.Now().After(end) {
					t.Fatalf("want extended error %d: %v", c.ede, answer)
				}
			}
			env.Store().Start()
			env.awaitReady()
			if answer := ask(); answer.Rcode != dns.RcodeSuccess || len(answer.Answer) != 3 || extendedError(answer) != noExtendedError {
				t.Errorf("when the store is back: %v", answer)
			}
			calls.awaitCalls(t, 50)
			calls.finish(t)
		})
	}
}

// noExtendedError is no code of RFC 8914.
const noExtendedError = 0xffff

func extendedError(m *dns.Msg) uint16 {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return e.InfoCode
			}
		}
	}
	return noExtendedError
}

func TestTheStoreIsCompactedWhileAFollowerIsAway(t *testing.T) {
	tr := startTrial(t)
	f, _ := others(tr.Writer())
	tr.Break(StoreLink(f), Cut)
	tr.writes(-1, 100)
	tr.Store().Compact()
	tr.writes(-1, 10)
	tr.Break(StoreLink(f), Whole)
	tr.writes(f, 30)
	h := tr.finish()
	for i := range 3 {
		tr.answered(h, i)
	}
}

func TestTheQuotaOfTheStoreIsFull(t *testing.T) {
	tr := startTrial(t)
	if s := tr.put(0, "a").StatusCode; s != http.StatusCreated {
		t.Fatalf("status %d", s)
	}
	tr.Store().SetFull(true)
	for i := range 3 {
		resp := tr.put(i, "b")
		if resp.StatusCode != http.StatusInsufficientStorage {
			t.Errorf("a registration at dnsd %d, without room: %s", i, resp.Status)
		}
	}
	began := tr.rec.Now()
	time.Sleep(nodeLease) // renewals need no room
	ended := tr.rec.Now()
	tr.Store().SetFull(false)
	for i := range 3 {
		tr.writes(i, 30)
	}
	h := tr.finish()
	removed := 0
	for _, o := range h.Ops {
		switch {
		case o.Call < began || o.Return > ended:
		case o.Kind == history.Register && o.Outcome == history.Done:
			t.Errorf("there is no room, and %v", o)
		case o.Kind == history.Deregister && o.Outcome == history.Done && o.Found:
			removed++
		}
	}
	if removed == 0 {
		t.Error("while there was no room, nothing could be removed")
	}
	for i := range 3 {
		tr.answered(h, i)
	}
}

func TestTheStoreIsRestoredFromACopy(t *testing.T) {
	tr := startTrial(t)
	restore := tr.Store().Copy()
	tr.writes(-1, 100)
	if err := tr.rec.Restore(tr.ctx, restore); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		tr.writes(i, 30)
	}
	tr.finish()
}
