package hook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/register"
)

var keyA1 = registry.Key{Service: "_math._tcp", ID: "a1"}

// serving is a listener in place of an instance, and its port.
func serving(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", freeaddr.Take(1)[0].String()) // no other process gets it when it is closed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

// fake runs f with a hook in memory and a registry whose leases end, in fake time.
func fake(t *testing.T, change func(*Config, *registry.Config), f func(t *testing.T, h *hook)) {
	synctest.Test(t, func(t *testing.T) {
		h := startOn(t, newPipes(), change)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.registry.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		f(t, h)
	})
}

func TestHoldRegistersAndRenews(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		s := h.stream("POST", a1+"/hold", `{"port":1,"incarnation":3}`)
		began := time.Now()
		if e, ok := s.block(); !ok || e.comment != "held" {
			t.Fatalf("first: %+v", e)
		}
		if e := s.next(); e.name != "registered" || e.id != h.at(1) || !strings.Contains(e.data, `"renew_after":"5s"`) {
			t.Fatalf("second: %+v", e)
		}
		for i := range 20 {
			if e, ok := s.block(); !ok || e.comment != "renewed" {
				t.Fatalf("then: %+v", e)
			}
			if at := time.Since(began); at != time.Duration(i+1)*5*time.Second {
				t.Fatalf("renewal %d after %v", i, at)
			}
			if in, ok := h.registry.Instance(keyA1); !ok || in.ExpiresIn != 15*time.Second {
				t.Fatalf("%v, expires in %v", ok, in.ExpiresIn)
			}
		}
	})
}

// A stopped process keeps its connection open: its hold ends with "again", and without a
// new one its lease ends.
func TestHoldIsAskedToComeAgain(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		s := h.stream("POST", a1+"/hold", `{"port":1}`)
		began := time.Now()
		all := s.until("end")
		if e := all[len(all)-1]; !strings.Contains(e.data, `"reason":"again"`) || time.Since(began) != 5*time.Minute {
			t.Errorf("after %v: %+v", time.Since(began), e)
		}
		if _, ok := h.registry.Instance(keyA1); !ok {
			t.Error("gone with the hold")
		}
		time.Sleep(16 * time.Second) // fake time: the lease
		if _, ok := h.registry.Instance(keyA1); ok {
			t.Error("outlives its lease")
		}
	})
}

// A peer that reads nothing is not renewed.
func TestHoldThatNobodyReadsEndsWithTheLease(t *testing.T) {
	probed := make(chan string, 10)
	fake(t, func(c *Config, r *registry.Config) {
		r.Probe = func(_ context.Context, hostport string) error { probed <- hostport; return context.DeadlineExceeded }
	}, func(t *testing.T, h *hook) {
		s := h.stream("POST", a1+"/hold", `{"port":1}`)
		s.next()
		time.Sleep(5*time.Second + 10*time.Second + time.Second) // a renewal, its write timeout
		synctest.Wait()
		if h.holds.count() != 0 || len(probed) == 0 {
			t.Errorf("%d holds, %d probes", h.holds.count(), len(probed))
		}
		if _, ok := h.registry.Instance(keyA1); !ok {
			t.Error("removed without proof")
		}
		time.Sleep(2 * 15 * time.Second) // the lease, and one more as a suspect, for the service is small
		if _, ok := h.registry.Instance(keyA1); ok {
			t.Error("outlives its lease")
		}
	})
}

// A changed lease changes the pace of the renewals.
func TestHoldFollowsTheRegistration(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		s := h.stream("POST", a1+"/hold", `{"port":1,"lease":"10m"}`)
		s.next()
		h.put(a1, `{"port":1,"lease":"6s","ttl":"2s"}`)
		began := time.Now()
		if e, ok := s.block(); !ok || e.comment != "renewed" || time.Since(began) != 2*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), e)
		}
	})
}

func TestHoldOfRegisteredInstanceNeedsNoBody(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1,"incarnation":3}`)
	for _, path := range []string{a1 + "/hold", a1 + "/hold?incarnation=3"} {
		s := h.stream("POST", path, "")
		if e := s.next(); e.name != "registered" {
			t.Errorf("%s: %+v", path, e)
		}
	}
	for n, want := range map[int]int{2: http.StatusConflict, 4: http.StatusNotFound} {
		if a := h.do("POST", fmt.Sprintf("%s/hold?incarnation=%d", a1, n), ""); a.problem(t).Status != want {
			t.Errorf("incarnation %d: %d %s", n, a.status, a.body)
		}
	}
}

// hijacked opens a hold on its own TCP connection.
func hijacked(t *testing.T, h *hook, body string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "POST %s/hold HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", a1, h.Addr(), len(body), body)
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "event: registered") {
			return c.(*net.TCPConn), in
		}
	}
}

// The kernel of a killed process closes its connections, with FIN or RST.
func TestBrokenHoldOfDeadInstanceRemovesItAtOnce(t *testing.T) {
	for _, reset := range []bool{false, true} {
		t.Run(fmt.Sprintf("reset=%v", reset), func(t *testing.T) {
			h := start(t, nil)
			l, port := serving(t)
			c, _ := hijacked(t, h, fmt.Sprintf(`{"port":%d,"lease":"1h"}`, port))
			w := h.stream("GET", "/v1/watch?since="+h.at(1), "")
			l.Close()
			if reset {
				if err := c.SetLinger(0); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			if e := w.next(); e.name != register.EventDelete || e.decode(t).Instance.ID != "a1" {
				t.Errorf("%+v", e)
			}
			eventually(t, "the audit has it", func() bool {
				return strings.Contains(h.audit.String(), `what="connection lost" object=_math._tcp/a1 result=removed`)
			})
		})
	}
}

func TestBrokenHoldOfLivingInstanceLeavesItToItsLease(t *testing.T) {
	h := start(t, nil)
	_, port := serving(t)
	c, _ := hijacked(t, h, fmt.Sprintf(`{"port":%d,"lease":"1h"}`, port))
	c.Close()
	eventually(t, "the verdict", func() bool {
		return strings.Contains(h.audit.String(), `what="connection lost" object=_math._tcp/a1 result=kept`)
	})
	if _, ok := h.registry.Instance(keyA1); !ok {
		t.Error("removed")
	}
}

func TestReplacedHoldEnds(t *testing.T) {
	h := start(t, nil)
	s := h.stream("POST", a1+"/hold", `{"port":1,"incarnation":3}`)
	s.next()
	h.put(a1, `{"port":1,"incarnation":3}`) // a PUT of the same process does not end the hold
	h.put(a1, `{"port":1,"incarnation":4}`)
	if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"replaced"`) {
		t.Errorf("%+v", e)
	}
	if _, ok := s.block(); ok {
		t.Error("goes on")
	}
}

func TestDeregisteredHoldEnds(t *testing.T) {
	h := start(t, nil)
	s := h.stream("POST", a1+"/hold", `{"port":1,"incarnation":3}`)
	s.next()
	h.do("DELETE", a1, "")
	if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"gone"`) {
		t.Errorf("%+v", e)
	}
}

// An instance can leave the answers although its removal cannot be stored. Its hold ends
// at once then, too, and not at the next renewal.
func TestHoldEndsWithARemovalThatIsNotStored(t *testing.T) {
	var full atomic.Bool
	h := start(t, func(_ *Config, r *registry.Config) { r.Backend = fillingDisk{registry.Memory(), &full} })
	s := h.stream("POST", a1+"/hold", `{"port":1,"lease":"24h"}`)
	s.next()
	full.Store(true)
	if a := h.do("DELETE", a1, ""); a.status != http.StatusInsufficientStorage {
		t.Errorf("status %d, want 507", a.status)
	}
	if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"gone"`) {
		t.Errorf("%+v", e)
	}
	if _, ok := h.registry.Instance(keyA1); ok {
		t.Error("the instance is still registered")
	}
	if want := "result=deregistered status=507 revision=2"; !strings.Contains(h.audit.String(), want) {
		t.Errorf("the audit log lacks %q:\n%s", want, h.audit)
	}
}

// fillingDisk takes commits until it is full.
type fillingDisk struct {
	registry.Backend
	full *atomic.Bool
}

func (d fillingDisk) Commit(b *registry.Batch) error {
	if d.full.Load() {
		return registry.ErrNoSpace
	}
	return d.Backend.Commit(b)
}

// A client whose connection is half dead opens a new hold. When the old connection is
// found broken later, the instance is not probed.
func TestNewerHoldOfTheSameInstanceTakesOver(t *testing.T) {
	var probes atomic.Int32
	h := start(t, func(_ *Config, r *registry.Config) {
		r.Probe = func(context.Context, string) error { probes.Add(1); return syscall.ECONNREFUSED }
	})
	const body = `{"port":1,"incarnation":3}`
	first := h.stream("POST", a1+"/hold", body)
	first.next()
	second := h.stream("POST", a1+"/hold", body)
	second.next()
	if e := first.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"superseded"`) {
		t.Errorf("%+v", e)
	}
	if _, ok := h.registry.Instance(keyA1); !ok || probes.Load() != 0 {
		t.Errorf("registered %v, %d probes", ok, probes.Load())
	}
	second.close()
	eventually(t, "the second counts", func() bool { _, ok := h.registry.Instance(keyA1); return !ok })
}

func TestStoppingKeepsHeldInstances(t *testing.T) {
	h := start(t, func(_ *Config, r *registry.Config) {
		r.Probe = func(context.Context, string) error { return syscall.ECONNREFUSED }
	})
	s := h.stream("POST", a1+"/hold", `{"port":1}`)
	s.next()
	h.Close()
	if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"shutdown"`) {
		t.Errorf("%+v", e)
	}
	if _, ok := h.registry.Instance(keyA1); !ok {
		t.Error("removed by our own end")
	}
}

func TestTooManyHoldsAreRefused(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) { c.Limits.Holds = 1 })
	h.stream("POST", a1+"/hold", `{"port":1}`).next()
	a := h.do("POST", "/v1/services/_math._tcp/instances/a2/hold", `{"port":1}`)
	if a.problem(t); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// register.Keep with a real hook: the instance is held, and removed by Close.
func TestKeepHoldsAndCloses(t *testing.T) {
	h := start(t, nil)
	l, port := serving(t)
	_ = l
	lease, err := register.Keep(t.Context(), register.Config{
		Hooks: []string{h.URL()}, Service: "_math._tcp", ID: "a1",
		Registration: register.Registration{Port: uint16(port)},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "held", func() bool { return h.holds.count() == 1 })
	if err := lease.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.registry.Instance(keyA1); ok {
		t.Error("still registered")
	}
	eventually(t, "let go", func() bool { return h.holds.count() == 0 })
}

// After a broken connection the host is probed only if it was the connection's own.
func TestOnlyTheOwnHostIsProbed(t *testing.T) {
	h := start(t, nil)
	open, secured := h.state.Load(), *h.state.Load()
	secured.secured = true
	for _, c := range []struct {
		st         *state
		peer, host string
		want       bool
	}{
		{open, "127.0.0.1:1", "192.0.2.8", true},
		{&secured, "127.0.0.1:1", "192.0.2.8", false},
		{&secured, "127.0.0.1:1", "127.0.0.1", true},
		{open, "192.0.2.7:1", "192.0.2.8", false},
		{&secured, "192.0.2.7:1", "192.0.2.7", true},
		{&secured, "[::ffff:192.0.2.7]:1", "192.0.2.7", true},
		{&secured, "[2001:db8::7]:1", "2001:db8::7", true},
		{&secured, "[2001:db8::7]:1", "2001:db8::8", false},
		{&secured, "127.0.0.1:1", "localhost", true},
		{&secured, "192.0.2.7:1", "localhost", false},
	} {
		x := &exchange{s: h.Server, st: c.st, peer: peerAddr(&http.Request{RemoteAddr: c.peer})}
		if got := x.speaksFor(t.Context(), c.host); got != c.want {
			t.Errorf("%s for %s, tokens %v: %v", c.peer, c.host, c.st.secured, got)
		}
	}
}

// A hold for another host, with a token that allows it, breaks: the hook does not show
// whether the port of that host is open.
func TestHoldIsNoPortScanner(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{{Secret: "s", Verbs: []Verb{Write}, Services: []string{"*"}, AnyHost: true}}
	})
	l, openPort := serving(t)
	closed, closedPort := serving(t)
	closed.Close()
	for id, port := range map[string]int{"open": openPort, "closed": closedPort} {
		s := h.stream("POST", "/v1/services/_math._tcp/instances/"+id+"/hold", fmt.Sprintf(`{"port":%d,"host":"127.0.0.2"}`, port), "Authorization", "Bearer s")
		s.next()
		s.close()
	}
	_ = l
	eventually(t, "both are lost", func() bool { return strings.Count(h.audit.String(), `what="connection lost"`) == 2 })
	if n := strings.Count(h.audit.String(), "result=kept"); n != 2 {
		t.Errorf("%d of 2 are kept:\n%s", n, h.audit)
	}
}
