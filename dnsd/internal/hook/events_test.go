package hook

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// words are the events of an answer, one in a line.
func words(a eventsAnswer) (all []string) {
	for _, e := range a.Events {
		all = append(all, e.What+" "+e.ID+" "+e.Who+": "+e.Why)
	}
	return all
}

func (h *hook) events(query string) eventsAnswer {
	h.t.Helper()
	a := h.do("GET", pathEvents+query, "")
	if a.status != http.StatusOK {
		h.t.Fatalf("%s: %d %s", query, a.status, a.body)
	}
	return decode[eventsAnswer](h.t, a)
}

// The whole life of instances, with senders and reasons.
func TestEventsTellWhoDidWhatAndWhy(t *testing.T) {
	fake(t, func(_ *Config, r *registry.Config) {
		r.Probe = func(context.Context, string) error { return nil }
	}, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1,"meta":{"version":"<b>1"}}`)
		h.put(a1, `{"port":1,"weight":7,"meta":{"version":"2"}}`)
		h.put(a1, `{"port":1,"weight":7,"meta":{"version":"2"}}`) // a renewal is no event
		h.do("PUT", a1+"/drain", "")
		h.do("DELETE", a1+"/drain", "")
		time.Sleep(13 * time.Second)
		h.put(a1, `{"port":1,"weight":7,"meta":{"version":"2"}}`) // late: 2 s of 15 s are left
		time.Sleep(16 * time.Second)                              // a suspect: it is probed
		h.do("POST", "/v1/renew", `{"instances":["_math._tcp/a1"]}`)
		time.Sleep(40 * time.Second)
		h.put(a1, `{"port":2}`)
		h.do("DELETE", a1, "")
		h.do("DELETE", "/v1/guard", "")
		synctest.Wait()
		got := words(h.events(""))
		want := []string{
			"registered a1 127.0.0.1: at 127.0.0.1:1, weight 100",
			`changed a1 127.0.0.1: weight 100 → 7; version "<b>1" → "2"`,
			"drained a1 127.0.0.1: by an operator",
			"undrained a1 127.0.0.1: by an operator",
			"renewed late a1 the instance: 2s before the end of its lease of 15s: it missed two heartbeats",
			"suspect a1 dnsd: its lease ended; it is kept for one more lease, and dnsd tries to connect to it",
			"renewed late a1 the instance: it was a suspect",
			"suspect a1 dnsd: its lease ended; it is kept for one more lease, and dnsd tries to connect to it",
			"expired a1 dnsd: it was a suspect, and did not renew before the guard's time was over",
			"registered a1 127.0.0.1: at 127.0.0.1:2, weight 100",
			"removed a1 127.0.0.1: it was deregistered",
			"guard released  127.0.0.1: 0 suspects are removed",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestEventsAreFollowedByTheirCursor(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`)
		first := h.events("?limit=1")
		if len(first.Events) != 1 || first.Missed {
			t.Fatalf("%+v", first)
		}
		if again := h.events("?since=" + first.Next); len(again.Events) != 0 || again.Next != first.Next {
			t.Errorf("without news: %+v", again)
		}
		began := time.Now()
		if none := h.events("?wait=5s&since=" + first.Next); len(none.Events) != 0 || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), none)
		}
		got := make(chan eventsAnswer)
		go func() { got <- h.events("?wait=30s&service=_math._tcp&since=" + first.Next) }()
		synctest.Wait()
		h.put("/v1/services/_other._tcp/instances/b1", `{"port":1}`)
		h.put("/v1/services/_math._tcp/instances/a2", `{"port":1}`)
		h.put("/v1/services/_math._tcp/instances/a3", `{"port":1}`)
		if next := <-got; len(next.Events) != 2 || next.Events[0].ID != "a2" || next.Events[1].ID != "a3" || next.Events[0].Who == "" {
			t.Errorf("%+v", next)
		}
		if other := h.events("?since=01234567-1"); !other.Missed || len(other.Events) != 4 {
			t.Errorf("a cursor of another dnsd: %+v", other)
		}
		for query, field := range map[string]string{
			"?limit=0": "limit", "?limit=1001": "limit", "?since=7": "since", "?wait=5s": "wait",
			"?since=01234567-1&wait=31s": "wait", "?service=math": "service",
		} {
			if a := h.do("GET", pathEvents+query, ""); a.status != 400 || a.problem(t).Field != field {
				t.Errorf("%s: %d %s", query, a.status, a.body)
			}
		}
	})
}
