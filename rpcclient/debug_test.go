package rpcclient

import (
	"encoding/json"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

func TestDebugPageSaysWhyEachNodeIsUsedOrNot(t *testing.T) {
	up, down := startStock(t, ""), startStock(t, "")
	down.stop()
	c := newClient(t, Config{}, up.addr, down.addr)
	ready(t, c)
	for range 10 {
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{1, 2}, new(int)); err != nil {
			t.Fatal(err)
		}
	}
	dialFailed(t, c)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", "/?format=json", nil))
	var page page
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
		t.Fatal(err, w.Body)
	}
	if len(page.Nodes) != 2 || page.Stats.Calls != 10 {
		t.Fatalf("%+v", page)
	}
	for _, n := range page.Stats.Nodes {
		if want := map[string]string{up.addr: "healthy", down.addr: "down"}[n.Addr]; n.Standing != want {
			t.Errorf("the stats of %s say that it is %q, want %q", n.Addr, n.Standing, want)
		}
	}
	for _, n := range page.Nodes {
		switch n.Addr {
		case up.addr:
			if n.Standing == "" || !n.Used || n.Why != "used" || n.Share != 1 || n.ActualShare != 1 || n.Attempts != 10 {
				t.Errorf("%+v", n)
			}
		case down.addr:
			if n.Used || !strings.Contains(n.Why, "refused") || n.Share != 0 || n.ActualShare != 0 {
				t.Errorf("%+v", n)
			}
		}
	}
	w = httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{up.addr, down.addr, "refused", "_math._tcp.svc", "</table>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("page lacks %q", want)
		}
	}
	for target, want := range map[string]int{"/?format=xml": 400, "/": 405} {
		method := "GET"
		if want == 405 {
			method = "POST"
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		if w.Code != want {
			t.Errorf("%s %s: %d, want %d", method, target, w.Code, want)
		}
	}
}

func TestSeveralReadersSeeTheSameShares(t *testing.T) {
	var s shares
	now := time.Unix(1e9, 0)
	counts := func(a, b uint64) map[string]uint64 { return map[string]uint64{"a": a, "b": b} }
	if got, since := s.look(counts(30, 10), now); got["a"] != 0.75 || !since.IsZero() {
		t.Error("first look:", got, since)
	}
	begin := now
	now = now.Add(10 * time.Second)
	for range 3 {
		if got, since := s.look(counts(40, 40), now); got["a"] != 0.25 || since != begin {
			t.Error("readers at the same time:", got, since)
		}
	}
	now = now.Add(55 * time.Second) // the second look is the oldest of the last minute
	if got, _ := s.look(counts(80, 40), now); got["a"] != 1 {
		t.Error("a minute later:", got)
	}
	now = now.Add(time.Hour)
	if got, since := s.look(counts(80, 140), now); got["b"] != 1 || since.IsZero() {
		t.Error("an hour later:", got, since)
	}
	for range 10_000 {
		now = now.Add(time.Millisecond)
		s.look(counts(80, 140), now)
	}
	if len(s.looks) > 1+int(lookedFor/lookEvery) {
		t.Errorf("%d looks are remembered", len(s.looks))
	}
}

// confirming is a Source that yields once and then only confirms.
type confirming struct {
	eps
	confirmed *atomic.Pointer[resolver.State]
}

func (c confirming) Cached(string) (resolver.State, bool) { return *c.confirmed.Load(), true }

// following is a Source that a server tells about changes.
type following struct {
	eps
	fresh resolver.Freshness
}

func (f following) Freshness(string) resolver.Freshness { return f.fresh }

func TestDebugPageSaysByWhatTheNameIsKeptFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, by := range []string{"push", "ttl"} {
			src := following{eps{{Addr: "a:1"}}, resolver.Freshness{By: by, Server: "dnsd:53"}}
			if by == "push" {
				src.fresh.Revision, src.fresh.Since = 42, time.Now()
			} else {
				src.fresh.Again = time.Now().Add(time.Hour)
			}
			f := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Arith{})})
			c := fakeClient(t, f, Config{Source: src})
			ready(t, c)
			time.Sleep(time.Minute)
			if got := c.page(time.Now()).Names; got.FreshBy != by || got.Server != "dnsd:53" || got.Revision != src.fresh.Revision || !got.Followed.Equal(src.fresh.Since) || !got.Again.Equal(src.fresh.Again) {
				t.Errorf("the names are %+v", got)
			}
			w := httptest.NewRecorder()
			c.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			if told := strings.Contains(w.Body.String(), "changes are told by dnsd:53 since 1m0s ago, the last at revision 42"); told != (by == "push") {
				t.Errorf("by %s, the page is %s", by, w.Body)
			}
			if alone := strings.Contains(w.Body.String(), "asked of dnsd:53; no server tells about changes, the next attempt is in 59m0s"); alone != (by == "ttl") {
				t.Errorf("by %s, the page is %s", by, w.Body)
			}
			c.Close()
		}
	})
}

func TestDebugPageKnowsWhenTheNameWasLastConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := confirming{eps{{Addr: "a:1"}}, new(atomic.Pointer[resolver.State])}
		f := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Arith{})})
		c := fakeClient(t, f, Config{Source: src})
		defer c.Close()
		ready(t, c)
		time.Sleep(time.Hour)
		src.confirmed.Store(&resolver.State{Endpoints: src.eps, Confirmed: time.Now().Add(-time.Second), TTL: 5 * time.Second})
		if got := c.page(time.Now()).Names.ExpiresIn; got != "4s" {
			t.Errorf("expires in %s, want 4s", got)
		}
		for _, want := range []string{"TTL 5s, expires in 4s", "TTL 5s, expired 7.8s ago"} {
			w := httptest.NewRecorder()
			c.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("the page has no %q: %s", want, w.Body)
			}
			time.Sleep(11800 * time.Millisecond)
		}
	})
}
