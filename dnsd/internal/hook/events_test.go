package hook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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

// A reload gives the hook to another zone: its readers see nothing of the earlier one, and
// a request that waits is woken.
func TestEventsOfAnotherZoneAreNotShown(t *testing.T) {
	fake(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{{Name: "svc", Secret: "one", AnyHost: true}}
	}, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`, "Authorization", "Bearer one")
		first := decode[eventsAnswer](t, h.do("GET", pathEvents, "", "Authorization", "Bearer one"))
		waits := make(chan answer)
		go func() {
			waits <- h.do("GET", pathEvents+"?wait=30s&since="+first.Next, "", "Authorization", "Bearer one")
		}()
		synctest.Wait()
		other, err := registry.Open(registry.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		defer h.Update(h.cfg)
		cfg := h.cfg
		cfg.Zone, cfg.Registry = "other.", other
		cfg.Tokens = []Token{{Name: "other", Secret: "two", AnyHost: true}}
		if err := h.Update(cfg); err != nil {
			t.Fatal(err)
		}
		h.put("/v1/services/_math._tcp/instances/b1", `{"port":1}`, "Authorization", "Bearer two")
		if a := <-waits; a.status != http.StatusForbidden {
			t.Errorf("a reader of the zone before: %d %s", a.status, a.body)
		}
		a := decode[eventsAnswer](t, h.do("GET", pathEvents+"?since="+first.Next, "", "Authorization", "Bearer two"))
		if len(a.Events) != 1 || a.Events[0].ID != "b1" || !a.Missed {
			t.Errorf("%+v", a)
		}
	})
}

// A restore raises the revision of a dnsd that is alone. It knows all changes before.
func TestRestoreHidesNoEvents(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`)
		a := h.do("POST", "/v1/snapshot", fmt.Sprintf(`{"zone":"svc.","revision":%d,"lines":[{"instance":{"service":"_math._tcp","id":"a2","host":"127.0.0.1","port":2,"ttl":"5s","lease":"15s","weight":1,"priority":1,"state":"up"}}]}`, h.registry.Revision()+5))
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		got := words(h.events(""))
		if len(got) != 3 || slices.ContainsFunc(got, func(w string) bool { return strings.HasPrefix(w, "loaded") }) {
			t.Errorf("%q", got)
		}
	})
}

// A token is taken away while a request waits.
func TestEventsAreNotShownToATokenThatIsGone(t *testing.T) {
	fake(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{{Name: "r", Secret: "reader", Verbs: []Verb{Read}}, {Name: "w", Secret: "writer", AnyHost: true}}
	}, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`, "Authorization", "Bearer writer")
		first := decode[eventsAnswer](t, h.do("GET", pathEvents, "", "Authorization", "Bearer reader"))
		got := make(chan answer)
		go func() {
			got <- h.do("GET", pathEvents+"?wait=30s&since="+first.Next, "", "Authorization", "Bearer reader")
		}()
		synctest.Wait()
		cfg := h.cfg
		cfg.Tokens = h.cfg.Tokens[1:]
		if err := h.Update(cfg); err != nil {
			t.Fatal(err)
		}
		h.put(a1, `{"port":2}`, "Authorization", "Bearer writer")
		if a := <-got; a.status != http.StatusForbidden || !strings.Contains(a.problem(t).Detail, "any more") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// So much happens to other services at one moment that an event is lost.
func TestEventsSayWhatWasMissedWhileARequestWaits(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`)
		first := h.events("")
		got := make(chan eventsAnswer)
		go func() { got <- h.events("?wait=30s&service=_math._tcp&since=" + first.Next) }()
		synctest.Wait()
		h.put("/v1/services/_math._tcp/instances/lost", `{"port":1}`)
		many := make([]registry.Change, 8300)
		for i := range many {
			many[i] = registry.Change{Revision: uint64(1<<50 + i), New: &registry.Instance{Key: registry.Key{Service: "_other._tcp", ID: "x"}}}
		}
		h.timeline.Apply(many)
		if a := <-got; !a.Missed || len(a.Events) != 0 {
			t.Errorf("missed %v: %q", a.Missed, words(a))
		}
	})
}

// A request signs its change after the change is there. A reader that comes between waits.
func TestEventsWaitForTheirSender(t *testing.T) {
	for _, query := range []string{"?since=", "?wait=5s&since="} {
		fake(t, nil, func(t *testing.T, h *hook) {
			h.put(a1, `{"port":1}`)
			first := h.events("")
			in := &registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a2"}}
			h.timeline.Apply([]registry.Change{{Revision: 1 << 50, Time: time.Now(), New: in}})
			time.AfterFunc(signTime/2, func() { h.timeline.Sign(1<<50, "ci") })
			began := time.Now()
			if a := h.events(query + first.Next); len(a.Events) != 1 || a.Events[0].Who != "ci" || time.Since(began) > signTime {
				t.Errorf("after %v: %+v", time.Since(began), a)
			}
			began = time.Now()
			if a := h.events(query + first.Next); len(a.Events) != 1 || time.Since(began) != 0 {
				t.Errorf("after %v more: %+v", time.Since(began), a)
			}
		})
	}
}

// Long answers come out of the memory that lists have, and wait for it.
func TestEventsAndDNSTakeMemory(t *testing.T) {
	fake(t, func(c *Config, _ *registry.Config) {
		c.DNS = func(n, r string) (DNSAnswer, error) { return DNSAnswer{Name: n, Type: r}, nil }
	}, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`)
		first := h.events("")
		all, ok := h.lists.take(t.Context(), caller{}, listBytes)
		if !ok {
			t.Fatal("no memory")
		}
		for _, path := range []string{pathEvents, pathEvents + "?since=" + first.Next, "/v1/services/_math._tcp/dns"} {
			if a := h.do("GET", path, ""); a.status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		all()
		for _, path := range []string{pathEvents, pathEvents + "?wait=1s&since=" + first.Next, "/v1/services/_math._tcp/dns"} {
			if a := h.do("GET", path, ""); a.status != http.StatusOK || h.lists.inUse() != 0 {
				t.Errorf("%s: %d, and %v octets are not given back", path, a.status, h.lists.inUse())
			}
		}
		got := make(chan eventsAnswer)
		go func() { got <- h.events("?wait=5s&since=" + first.Next) }()
		synctest.Wait()
		if n := h.lists.inUse(); n != 0 {
			t.Errorf("a request that waits for events has %v octets", n)
		}
		<-got
	})
}
