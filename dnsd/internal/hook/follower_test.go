package hook

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// A dnsd that has never reached the store refuses to be read: nothing would look as if there
// were no instances.
func TestReadsBeforeThereIsContentAreRefused(t *testing.T) {
	h := start(t, func(_ *Config, r *registry.Config) { r.Follow = true })
	for _, n := range requests() {
		if n.verb != Read || n.path == "/metrics" || n.path == pathCluster {
			continue
		}
		a := h.do(n.method, n.path, "")
		if p := a.problem(t); p.Status != 503 || a.header.Get("Retry-After") != "1" || !strings.Contains(p.Detail, "does not know yet") {
			t.Errorf("%s: %+v", n.path, p)
		}
	}
}

// term is that of the only writer.
type term struct{}

func (term) Commit(*registry.Batch) error { return nil }
func (term) Valid() bool                  { return true }

// Only the writer knows how long a lease goes on.
func TestFollowerLeavesOutWhatOnlyTheWriterKnows(t *testing.T) {
	writer, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.Register(t.Context(), registry.Instance{Key: keyA1, Host: "127.0.0.1", Port: 1}); err != nil {
		t.Fatal(err)
	}
	h := start(t, func(_ *Config, r *registry.Config) { r.Follow = true })
	if err := h.registry.Reset(writer.Content()); err != nil {
		t.Fatal(err)
	}
	read := func() map[string]string {
		w := h.stream("GET", "/v1/watch", "")
		defer w.close()
		return map[string]string{
			"instance": string(h.do("GET", a1, "").body),
			"service":  string(h.do("GET", "/v1/services/_math._tcp", "").body),
			"list":     string(h.do("GET", "/v1/services", "").body),
			"snapshot": w.next().data,
		}
	}
	for what, text := range read() {
		if !strings.Contains(text, `"id":"a1"`) || strings.Contains(text, "expires_in") {
			t.Errorf("%s of a follower: %s", what, text)
		}
	}
	h.registry.Lead(term{})
	for what, text := range read() {
		if !strings.Contains(text, `"expires_in":"1`) {
			t.Errorf("%s of the writer: %s", what, text)
		}
	}
	if p := h.put(a1, `{"port":1}`); p.ExpiresIn.Std() != 15*time.Second {
		t.Errorf("%v", p.ExpiresIn)
	}
}

// TestAnOlderWriterKeepsTheLease: a registration that cannot be passed on is refused for
// good, so that package register goes back to the one that is valid.
func TestAnOlderWriterKeepsTheLease(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	w := h.follows(&remote{})
	w.fails(fmt.Errorf("%w: it does not know the operation", registry.ErrOldWriter))
	if p := h.do("PUT", a1, `{"port":1,"drain":true}`).problem(t); p.Status != 400 || p.Field != "drain" || !strings.Contains(p.Detail, "older") {
		t.Errorf("with drain: %+v", p)
	}
	a := h.do("PUT", a1, `{"port":1,"weight":7}`)
	if p := a.problem(t); p.Status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(p.Detail, "older") || strings.Contains(p.Detail, "no writer can be reached") {
		t.Errorf("something else that it does not know: %+v", p)
	}
}

func TestWritesWithoutAWriterSayWhatToDo(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	w := h.follows(&remote{})
	for _, c := range []struct {
		err    error
		detail string
	}{
		{registry.ErrNotWriter, "this dnsd follows, and no writer can be reached now: try again"},
		{fmt.Errorf("%w: member b does not answer", registry.ErrNotWriter), "no writer can be reached now (member b does not answer): try again"},
		{fmt.Errorf("peer: %w", registry.ErrUncertain), "the outcome is unknown: the change may have been made; send it again"},
		{fmt.Errorf("peer: %w", registry.ErrOvertaken), "the outcome is unknown: the change may have been made, and another one has followed"},
	} {
		w.fails(c.err)
		for _, n := range requests() {
			if n.verb != Write && n.verb != Admin || strings.HasPrefix(n.route, pathMembers) || n.route == pathSnapshot || n.route == pathPush {
				continue
			}
			a := h.do(n.method, n.path, n.body)
			if p := a.problem(t); p.Status != 503 || !strings.Contains(p.Detail, c.detail) || a.header.Get("Retry-After") != "1" {
				t.Errorf("%s %s: %d, Retry-After %q: %s", n.method, n.path, p.Status, a.header.Get("Retry-After"), p.Detail)
			}
		}
	}
	if a := h.do("GET", a1, ""); a.status != 200 {
		t.Errorf("reads: %d", a.status)
	}
}

// While the writer changes, a hold goes on, tries again each half second, and tells its
// client that it waits.
func TestHoldOutlivesAChangeOfWriter(t *testing.T) {
	for name, w := range noWriters() {
		t.Run(name, func(t *testing.T) {
			err := w.err
			w.err = nil
			fake(t, nil, func(t *testing.T, h *hook) {
				h.follows(w)
				s := h.stream("POST", a1+"/hold", `{"port":1}`)
				s.next()
				w.fails(err)
				began, waited := time.Now(), 0
				for time.Since(began) < 12*time.Second {
					if e := s.next(); e.name != eventWaiting || !strings.Contains(e.data, `{"detail":"`) {
						t.Fatalf("%+v", e)
					}
					waited++
				}
				if waited < 4 || waited > 16 {
					t.Errorf("it tried %d times in %v", waited, time.Since(began))
				}
				w.fails(nil)
				began = time.Now()
				if e, ok := s.block(); !ok || e.comment != "renewed" || time.Since(began) > time.Second {
					t.Errorf("with a writer, after %v: %+v", time.Since(began), e)
				}
				if in, ok := h.registry.Instance(keyA1); !ok || in.ExpiresIn != 15*time.Second {
					t.Errorf("registered %v, expires in %v", ok, in.ExpiresIn)
				}
			})
		})
	}
}

// A heartbeat that no writer took is passed on later, but not after the next one was due:
// the process may have stopped.
func TestHeartbeatIsPassedOnWhenThereIsAWriter(t *testing.T) {
	for name, w := range noWriters() {
		t.Run(name, func(t *testing.T) {
			err := w.err
			w.err = nil
			fake(t, nil, func(t *testing.T, h *hook) {
				h.follows(w)
				h.put(a1, `{"port":1}`)
				s, heart := h.beating("")
				time.Sleep(5 * time.Second)
				w.fails(err)
				heart.Write([]byte("."))
				for range 2 {
					if e := s.next(); e.name != eventWaiting {
						t.Fatalf("%+v", e)
					}
				}
				w.fails(nil)
				if e, ok := s.block(); !ok || e.comment != "renewed" {
					t.Fatalf("%+v", e)
				}

				time.Sleep(5 * time.Second)
				w.fails(err)
				last := time.Now()
				heart.Write([]byte("."))
				for time.Since(last) < 4*time.Second {
					if e := s.next(); e.name != eventWaiting {
						t.Fatalf("%+v", e)
					}
				}
				time.Sleep(time.Until(last.Add(5 * time.Second)))
				w.fails(nil)
				renewals := w.count("renew")
				e := s.next()
				for e.name == eventWaiting { // from before
					e = s.next()
				}
				if e.name != "end" || w.count("renew") != renewals {
					t.Errorf("a stopped process was renewed %d times: %+v", w.count("renew")-renewals, e)
				}
			})
		})
	}
}

// An instance becomes a suspect although its heartbeats come, because this dnsd does not
// reach the writer: it is not taken for a stopped process.
func TestSuspectWhoseHeartbeatsComeIsNotRemoved(t *testing.T) {
	fake(t, func(_ *Config, r *registry.Config) {
		r.Probe = func(context.Context, string) error { return nil }
	}, func(t *testing.T, h *hook) {
		w := h.follows(&remote{})
		h.put(a1, `{"port":1}`)
		s, heart := h.beating("")
		w.fails(registry.ErrNotWriter)
		go io.Copy(io.Discard, s.in)
		began := time.Now()
		for time.Since(began) < 20*time.Second {
			time.Sleep(time.Second)
			heart.Write([]byte("."))
		}
		if in, ok := h.registry.Instance(keyA1); !ok || in.State != registry.Suspect {
			t.Fatalf("registered %v, %v", ok, in.State)
		}
		w.fails(nil)
		heart.Write([]byte("."))
		time.Sleep(2 * time.Second)
		heart.Write([]byte("."))
		time.Sleep(time.Second)
		if in, ok := h.registry.Instance(keyA1); !ok || in.State != registry.Up || w.count("deregister") != 0 {
			t.Errorf("registered %v, %v, removed %d times", ok, in.State, w.count("deregister"))
		}
	})
}

// The probe after a broken connection waits for the next writer.
func TestLostConnectionIsToldToTheNextWriter(t *testing.T) {
	fake(t, func(_ *Config, r *registry.Config) {
		r.Probe = func(context.Context, string) error { return syscall.ECONNREFUSED }
	}, func(t *testing.T, h *hook) {
		w := h.follows(&remote{})
		s := h.stream("POST", a1+"/hold", `{"port":1,"lease":"1h"}`)
		s.next()
		w.fails(registry.ErrNotWriter)
		s.close()
		time.Sleep(5 * time.Second)
		if n := w.count("connection lost"); n < 8 || n > 12 {
			t.Errorf("asked %d times in 5 s", n)
		}
		w.fails(nil)
		time.Sleep(2 * time.Second)
		if _, ok := h.registry.Instance(keyA1); ok {
			t.Error("still registered")
		}
		if want := `what="connection lost" object=_math._tcp/a1 result=removed`; !strings.Contains(h.audit.String(), want) {
			t.Errorf("the audit log lacks %q:\n%s", want, h.audit)
		}
	})
}

// What another dnsd does to an instance reaches its hold here.
func TestHoldHearsOfWritesElsewhere(t *testing.T) {
	h := start(t, nil)
	s := h.stream("POST", a1+"/hold", `{"port":1,"incarnation":3,"lease":"24h"}`)
	s.next()
	ctx := t.Context()
	if _, err := h.registry.Drain(ctx, keyA1, false); err != nil {
		t.Fatal(err)
	}
	if e := s.next(); e.name != "changed" || !strings.Contains(e.data, `"state":"drained"`) {
		t.Errorf("%+v", e)
	}
	if _, err := h.registry.Undrain(ctx, keyA1); err != nil {
		t.Fatal(err)
	}
	if e := s.next(); e.name != "changed" || !strings.Contains(e.data, `"state":"up"`) {
		t.Errorf("%+v", e)
	}
	if _, err := h.registry.Register(ctx, registry.Instance{Key: keyA1, Host: "127.0.0.1", Port: 2, Incarnation: 4}); err != nil {
		t.Fatal(err)
	}
	if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"replaced"`) {
		t.Errorf("%+v", e)
	}
	s = h.stream("POST", a1+"/hold?incarnation=4", "")
	s.next()
	if _, err := h.registry.Deregister(ctx, keyA1, nil); err != nil {
		t.Fatal(err)
	}
	if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"gone"`) {
		t.Errorf("%+v", e)
	}
}

// What happens between the registration and the beginning of the hold reaches the hold, too.
func TestHoldHearsOfWritesBeforeItBegan(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		h.follows(&remote{after: func() {
			if _, err := h.registry.Drain(t.Context(), keyA1, false); err != nil {
				t.Error(err)
			}
		}})
		began := time.Now()
		s := h.stream("POST", a1+"/hold", `{"port":1}`)
		s.next()
		if e := s.next(); e.name != "changed" || time.Since(began) != 0 {
			t.Errorf("after %v: %+v", time.Since(began), e)
		}
	})
}

// After an Update with another registry the holds follow that one.
func TestHoldsFollowThePresentRegistry(t *testing.T) {
	h := start(t, nil)
	s := h.stream("POST", a1+"/hold", `{"port":1,"lease":"24h"}`)
	s.next()
	next, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { next.Close() })
	if _, err := next.Adopt(t.Context(), h.registry); err != nil {
		t.Fatal(err)
	}
	cfg := h.cfg
	cfg.Registry = next
	if err := h.Update(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Drain(t.Context(), keyA1, false); err != nil {
		t.Fatal(err)
	}
	if e := s.next(); e.name != "changed" || !strings.Contains(e.data, `"state":"drained"`) {
		t.Errorf("%+v", e)
	}
	h.Close()
	if h.followed != nil {
		t.Error("the holds of a closed hook follow a registry")
	}
}

// The writer has answered a hold, and this dnsd has not followed so far: what its own
// registry lacks says nothing.
func TestHoldAheadOfItsFollowerGoesOn(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		w := h.follows(&remote{answer: &registry.Instance{Revision: 1000}})
		s := h.stream("POST", a1+"/hold", `{"port":1}`)
		s.next()
		for range 3 {
			if e, ok := s.block(); !ok || e.comment != "renewed" {
				t.Fatalf("%+v", e)
			}
		}
		if n := w.count("renew"); n != 3 {
			t.Errorf("%d renewals", n)
		}
	})
}

// A client goes to another dnsd. When the connection to this one breaks, the instance works
// and is kept.
func TestHoldThatMovedToAnotherDnsdLosesNothing(t *testing.T) {
	h := start(t, nil)
	other := &hook{t: t, registry: h.registry, audit: &lines{}, client: &http.Client{Transport: &http.Transport{}}}
	var err error
	if other.Server, err = Listen(Config{Addr: "127.0.0.1:0", Registry: h.registry}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- other.Run(context.Background()) }()
	t.Cleanup(func() {
		other.client.CloseIdleConnections()
		other.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port := serving(t)
	body := fmt.Sprintf(`{"port":%d,"incarnation":3}`, port)
	first := h.stream("POST", a1+"/hold", body)
	first.next()
	second := other.stream("POST", a1+"/hold", body)
	second.next()
	first.close()
	eventually(t, "the verdict", func() bool {
		return strings.Contains(h.audit.String(), `what="connection lost" object=_math._tcp/a1 result=kept`)
	})
	if n := other.holds.count(); n != 1 {
		t.Errorf("%d holds at the other dnsd", n)
	}
	if _, ok := h.registry.Instance(keyA1); !ok {
		t.Error("removed")
	}
}
