package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

func (e event) decode(t testing.TB) register.Event {
	t.Helper()
	var v register.Event
	if err := json.Unmarshal([]byte(e.data), &v); err != nil {
		t.Fatalf("%v in %+v", err, e)
	}
	return v
}

func TestWatchBeginsWithThePresent(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	h.put("/v1/services/_echo._tcp/instances/e1", `{"port":2}`)
	w := h.stream("GET", "/v1/watch", "")
	present := w.until(eventSync)
	if len(present) != 3 || present[0].decode(t).Service != "_echo._tcp" || present[1].decode(t).Instance.ID != "a1" {
		t.Fatalf("present: %+v", present)
	}
	for _, e := range present[:2] {
		if e.name != eventSnapshot || e.id != "" || e.decode(t).Type != eventSnapshot {
			t.Errorf("%+v", e)
		}
	}
	if end := present[2]; end.id != h.at(2) || end.data != `{"revision":2,"type":"sync"}` {
		t.Errorf("%+v", end)
	}
	h.put(a1, `{"port":3}`)
	h.do("PUT", a1+"/drain", "")
	h.do("DELETE", a1, "")
	for i, want := range []struct {
		name  string
		state register.InstanceState
		port  uint16
	}{{"put", "up", 3}, {"put", "drained", 3}, {"delete", "drained", 3}} {
		e := w.next()
		v := e.decode(t)
		if e.name != want.name || e.id != h.at(3+i) || v.Revision != uint64(3+i) || v.Type != want.name ||
			v.Service != "_math._tcp" || v.Instance.State != want.state || v.Instance.Port != want.port {
			t.Errorf("%d: %+v", i, e)
		}
	}
}

func TestWatchOfOneServiceSeesOnlyIt(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	w := h.stream("GET", "/v1/watch?service=_echo._tcp", "")
	if all := w.until(eventSync); len(all) != 1 {
		t.Errorf("present: %+v", all)
	}
	h.put(a1, `{"port":2}`)
	h.put("/v1/services/_echo._tcp/instances/e1", `{"port":2}`)
	if e := w.next(); e.id != h.at(3) || e.decode(t).Service != "_echo._tcp" {
		t.Errorf("%+v", e)
	}
}

// A reader that loses the connection after any event and continues sees each change once,
// in order.
func TestWatchResumesWithoutLossOrRepeat(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	const last = 60
	var writer sync.WaitGroup
	writer.Go(func() {
		for port := 2; port <= last; port++ {
			h.put(a1, fmt.Sprintf(`{"port":%d}`, port))
		}
	})
	seen := 1
	for round := 0; seen < last; round++ {
		path, header := "/v1/watch?since="+h.at(seen), []string(nil)
		if round%2 == 1 { // as an EventSource does: the first URL again
			path, header = "/v1/watch?since="+h.at(1), []string{"Last-Event-ID", h.at(seen)}
		}
		w := h.stream("GET", path, "", header...)
		for range 1 + round%4 {
			if seen == last {
				break
			}
			e := w.next()
			if e.id != h.at(seen+1) || e.decode(t).Instance.Port != uint16(seen+1) {
				t.Fatalf("after %d: %+v", seen, e)
			}
			seen++
		}
		w.close()
	}
	writer.Wait()
}

func TestWatchOfLostHistoryIsGone(t *testing.T) {
	h := start(t, func(_ *Config, r *registry.Config) { r.History.Changes = 2 })
	for port := 1; port <= 9; port++ {
		h.put(a1, fmt.Sprintf(`{"port":%d}`, port))
	}
	a := h.do("GET", "/v1/watch?since="+h.at(1), "")
	if p := a.problem(t); p.Status != http.StatusGone || p.Field != "since" {
		t.Errorf("%+v", p)
	}
}

func TestSilentWatchShowsLife(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		w := h.stream("GET", "/v1/watch", "")
		w.until(eventSync)
		began := time.Now()
		for i := range 3 {
			if e, ok := w.block(); !ok || e.comment != "alive" || time.Since(began) != time.Duration(i+1)*15*time.Second {
				t.Fatalf("after %v: %+v", time.Since(began), e)
			}
		}
	})
}

// A reader that does not read is cut when too many events wait for it, and finds the
// reason when it reads on.
func TestSlowWatcherIsCut(t *testing.T) {
	h := start(t, func(c *Config, r *registry.Config) {
		c.times.write = time.Minute // the queue is the bound in this test
	})
	w := h.stream("GET", "/v1/watch", "")
	w.until(eventSync)
	meta := fmt.Sprintf("%0200d", 0)
	for i := 0; h.registry.Stats().Cut == 0; i++ {
		if i > 1_000_000 {
			t.Fatal("never cut")
		}
		in := registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a1"}, Host: "127.0.0.1", Port: uint16(1 + i%2), Meta: map[string]string{"m": meta}}
		if _, err := h.registry.Register(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	all := w.until("end")
	end := all[len(all)-1]
	if want := `{"reason":"slow","detail":"` + endDetails[endSlow] + `"}`; end.data != want {
		t.Errorf("%+v", end)
	}
	for i := 1; i < len(all)-1; i++ { // no event is missing
		if a, b := all[i-1].decode(t).Revision, all[i].decode(t).Revision; b != a+1 {
			t.Fatalf("%d follows %d", b, a)
		}
	}
	if _, ok := w.block(); ok {
		t.Error("the stream goes on after its end")
	}
}

// A reader that never reads again costs one write timeout.
func TestStuckWatcherIsClosed(t *testing.T) {
	h := start(t, func(c *Config, r *registry.Config) {
		c.times.write = 200 * time.Millisecond // the beginning must be written within it on a busy machine, too
	})
	w := h.stream("GET", "/v1/watch", "")
	w.until(eventSync)
	meta := fmt.Sprintf("%0200d", 0)
	for i := 0; h.watches.value() > 0; i++ {
		if i > 1_000_000 {
			t.Fatal("never closed")
		}
		in := registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a1"}, Host: "127.0.0.1", Port: uint16(1 + i%2), Meta: map[string]string{"m": meta}}
		if _, err := h.registry.Register(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTooManyWatchesAreRefused(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) { c.Limits.Watches = 1 })
	w := h.stream("GET", "/v1/watch", "")
	w.until(eventSync)
	a := h.do("GET", "/v1/watch", "")
	if a.problem(t); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.close()
	eventually(t, "the place is free again", func() bool { return h.do("HEAD", "/v1/watch", "").status == 200 })
}

func TestWatchIsToldOfTheEnd(t *testing.T) {
	h := start(t, nil)
	w := h.stream("GET", "/v1/watch", "")
	w.until(eventSync)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if e := w.next(); e.name != "end" || e.data != `{"reason":"shutdown","detail":"`+endDetails[endShutdown]+`"}` {
		t.Errorf("%+v", e)
	}
}

// sink is a response writer that reports every event with an id.
type sink struct {
	header http.Header
	got    chan string
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
func (s *sink) Flush()              {}
func (s *sink) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("id: ")) {
		s.got <- string(p)
	}
	return len(p), nil
}

// sinks starts n watchers of all services, which end with ctx, and returns what they get.
func (h *hook) sinks(ctx context.Context, n int) (got chan string, running *sync.WaitGroup) {
	got, running = make(chan string, n), new(sync.WaitGroup)
	for range n {
		running.Go(func() {
			req := h.request("GET", "/v1/watch", "").WithContext(ctx)
			req.RemoteAddr = "127.0.0.1:1"
			h.handler.ServeHTTP(&sink{header: make(http.Header), got: got}, req)
		})
	}
	return got, running
}

// TestThousandWatchersShareOneEncoding counts the encodings of the event: a call with
// another function returns the bytes that the watchers made.
func TestThousandWatchersShareOneEncoding(t *testing.T) {
	h := start(t, nil)
	const watchers = 1000
	ctx, cancel := context.WithCancel(t.Context())
	got, running := h.sinks(ctx, watchers)
	for range watchers {
		if first := <-got; !strings.Contains(first, "event: sync") {
			t.Fatal(first)
		}
	}
	own, err := h.registry.Watch("", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	h.put(a1, `{"port":1}`)
	put := <-got
	for range watchers - 1 {
		if other := <-got; other != put {
			t.Fatalf("%q and %q", put, other)
		}
	}
	events, err := own.Next(t.Context())
	if err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	frame := events[0].Encoded(func(*registry.Event) []byte {
		t.Error("a thousand watchers had it without an encoding")
		return nil
	})
	if string(frame) != string(encodeChange(events[0])) {
		t.Errorf("the shared frame is %q", frame)
	}
	cancel()
	running.Wait()
}

func TestEncodingOfAWatchEventIsMadeOnce(t *testing.T) {
	e := &registry.Event{Change: registry.Change{Revision: 7, New: &registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a1"}}}}
	var made int
	count := func(c *registry.Event) []byte { made++; return encodeChange(c) }
	first := e.Encoded(count)
	for range 999 {
		if again := e.Encoded(count); &again[0] != &first[0] {
			t.Fatal("another encoding")
		}
	}
	if made != 1 {
		t.Errorf("encoded %d times", made)
	}
}

// TestNumbersOfAnotherLifeAreNotTaken gives every number of one life to the next,
// which has passed the same revisions with other content.
func TestNumbersOfAnotherLifeAreNotTaken(t *testing.T) {
	h := start(t, nil)
	const last = 5
	var ids, tags []string
	w := h.stream("GET", "/v1/watch", "")
	ids = append(ids, w.next().id)
	for i := range last {
		h.put(fmt.Sprintf("/v1/services/_math._tcp/instances/old%d", i), `{"port":1}`)
		ids = append(ids, w.next().id)
		for _, path := range []string{"/v1/services", "/v1/services/_math._tcp"} {
			tags = append(tags, h.do("GET", path, "").header.Get("ETag"))
		}
	}
	next := memory(t)
	h.cfg.Registry = next
	if err := h.Update(h.cfg); err != nil {
		t.Fatal(err)
	}
	for i := range last {
		h.put(fmt.Sprintf("/v1/services/_math._tcp/instances/new%d", i), `{"port":1}`)
	}
	if h.registry.Revision() != next.Revision() {
		t.Fatal("the lives have not passed the same revisions")
	}
	for _, id := range ids {
		for _, header := range [][]string{nil, {"Last-Event-ID", id}} {
			path := "/v1/watch?since=" + id
			if header != nil {
				path = "/v1/watch"
			}
			if a := h.do("GET", path, "", header...); a.status != http.StatusGone || !strings.Contains(a.problem(t).Detail, "another life") {
				t.Errorf("%s: %d %s", id, a.status, a.body)
			}
		}
	}
	for _, tag := range tags {
		for _, path := range []string{"/v1/services", "/v1/services/_math._tcp"} {
			a := h.do("GET", path, "", "If-None-Match", tag)
			if a.status != 200 || !strings.Contains(string(a.body), `"new4"`) {
				t.Errorf("%s %s: %d %s", path, tag, a.status, a.body)
			}
			if want := next.Life().String(); a.header.Get("Rollcall-Life") != want || !strings.HasPrefix(string(a.body), `{"life":"`+want) {
				t.Errorf("%s is not of life %s: %s", path, want, a.body)
			}
		}
	}
}
