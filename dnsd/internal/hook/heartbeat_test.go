package hook

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// beating holds a1 with heartbeats: what is written to the pipe.
func (h *hook) beating(query string) (*events, *io.PipeWriter) {
	h.t.Helper()
	body, heart := io.Pipe()
	h.t.Cleanup(func() { heart.Close() })
	req := h.request("POST", a1+"/hold?heartbeat=1"+query, "")
	req.Body, req.ContentLength = body, -1
	go heart.Write([]byte(".")) // with the request, as package register does
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		h.t.Fatalf("hold: %d %s", resp.StatusCode, b)
	}
	e := &events{h.t, resp, bufio.NewReader(resp.Body), func() {}}
	h.t.Cleanup(e.close)
	if ev, ok := e.block(); !ok || ev.comment != "held" {
		h.t.Fatalf("first: %+v", ev)
	}
	if ev := e.next(); ev.name != "registered" {
		h.t.Fatalf("second: %+v", ev)
	}
	return e, heart
}

// The kernel of a stopped process acknowledges and keeps the connection open. The
// process sends no heartbeat, so the instance leaves with its lease.
func TestHeartbeatsThatStopEndTheLease(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`)
		s, heart := h.beating("")
		for range 20 {
			time.Sleep(5 * time.Second)
			heart.Write([]byte("."))
			if e, ok := s.block(); !ok || e.comment != "renewed" {
				t.Fatalf("to a heartbeat: %+v", e)
			}
			if in, ok := h.registry.Instance(keyA1); !ok || in.ExpiresIn != 15*time.Second {
				t.Fatalf("%v, expires in %v", ok, in.ExpiresIn)
			}
		}
		last := time.Now() // SIGSTOP: the connection stays open, and the kernel acknowledges what the hook sends
		if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"gone"`) {
			t.Errorf("%+v", e)
		}
		if _, ok := h.registry.Instance(keyA1); ok {
			t.Error("still published")
		}
		if took := time.Since(last); took < 15*time.Second || took > 31*time.Second {
			t.Errorf("told after %v, with a lease of 15s", took)
		}
	})
}

// The guard keeps a silent instance of a small service for one lease more if its port
// accepts connections. A stopped process has such a port, and a host that acknowledges:
// it is removed at once. A PUT brings the instance back.
func TestStoppedProcessOfASmallServiceIsNotHeldBack(t *testing.T) {
	fake(t, func(_ *Config, r *registry.Config) {
		r.Probe = func(context.Context, string) error { return nil }
	}, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`)
		s, _ := h.beating("")
		if e := s.next(); e.name != "changed" || !strings.Contains(e.data, `"state":"suspect"`) {
			t.Fatalf("%+v", e)
		}
		h.put(a1, `{"port":1}`)
		time.Sleep(10 * time.Second)
		if in, ok := h.registry.Instance(keyA1); !ok || in.State != registry.Up {
			t.Fatalf("after a PUT: %v, %v", ok, in.State)
		}
		last := time.Now().Add(-10 * time.Second)
		if e := s.next(); e.name != "changed" {
			t.Fatalf("%+v", e)
		}
		if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"gone"`) {
			t.Errorf("%+v", e)
		}
		if took := time.Since(last); took < 15*time.Second || took > 24*time.Second {
			t.Errorf("gone after %v, with a lease of 15s", took)
		}
		all := words(h.events(""))
		if got := all[len(all)-1]; got != "removed a1 dnsd: its heartbeats ended, though its host answers: the process was stopped" {
			t.Errorf("the event says %q", got)
		}
	})
}

// Octets that come too early renew nothing, so that a client that sends too many costs no
// more than others.
func TestHeartbeatsTooEarlyAreOne(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		h.put(a1, `{"port":1}`)
		s, heart := h.beating("")
		for range 1000 {
			heart.Write([]byte("."))
		}
		time.Sleep(2 * time.Second)
		heart.Write([]byte("."))
		if e, ok := s.block(); !ok || e.comment != "renewed" {
			t.Fatalf("to a heartbeat in time: %+v", e)
		}
		answered := make(chan event, 1)
		go func() {
			e, _ := s.block()
			answered <- e
		}()
		synctest.Wait()
		select {
		case e := <-answered:
			t.Errorf("1001 octets have more than one answer: %+v", e)
		default:
		}
		h.do("DELETE", a1, "")
		<-answered
	})
}

func TestHeartbeatIsChecked(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1,"incarnation":3}`)
	for query, want := range map[string]int{"?heartbeat=yes": 400, "?heartbeat=1&heartbeat=1": 400, "?heartbeat=1&incarnation=2": 409, "?heartbeat=1&incarnation=4": 404} {
		if a := h.do("POST", a1+"/hold"+query, ""); a.problem(t).Status != want {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	if n := h.holds.count(); n != 0 {
		t.Errorf("%d holds", n)
	}
	h.stream("POST", a1+"/hold?heartbeat=0", "").next()
}

// A held instance is told of an operator's drain.
func TestHoldHearsOfADrain(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "s", "", nil, []byte{127, 0, 0, 1})
	for name, way := range map[string]struct{ tls, http2 bool }{"plain": {}, "TLS": {tls: true}, "HTTP/2": {true, true}} {
		t.Run(name, func(t *testing.T) {
			h := start(t, func(c *Config, _ *registry.Config) {
				if way.tls {
					c.TLS = &TLS{Cert: ca.file("s.pem"), Key: ca.file("s.key")}
				}
			})
			if way.tls {
				h.client = ca.client(t, "")
				h.client.Transport.(*http.Transport).ForceAttemptHTTP2 = way.http2
			}
			h.put(a1, `{"port":1,"lease":"3s","ttl":"1s"}`)
			s, heart := h.beating("")
			for _, c := range []struct{ method, state string }{{"PUT", "drained"}, {"DELETE", "up"}} {
				h.do(c.method, a1+"/drain", "")
				if e := s.next(); e.name != "changed" || !strings.Contains(e.data, `"state":"`+c.state+`"`) {
					t.Errorf("%+v", e)
				}
				// The drain does not end the hold.
				renewed := make(chan struct{})
				go func() {
					defer close(renewed)
					for e, ok := s.block(); e.comment != "renewed"; e, ok = s.block() {
						if !ok {
							t.Error("the stream ended")
							return
						}
					}
				}()
				for waiting := true; waiting; {
					heart.Write([]byte("."))
					select {
					case <-renewed:
						waiting = false
					case <-time.After(50 * time.Millisecond):
					}
				}
			}
		})
	}
}

// A client that sends octets without having announced heartbeats is renewed as often as
// others, and its hold ends no later.
func TestHoldWithoutHeartbeatsKeepsItsClock(t *testing.T) {
	h := start(t, nil)
	c, in := hijacked(t, h, `{"port":1,"lease":"3s","ttl":"1s"}`)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				c.Write([]byte("."))
			}
		}
	}()
	for line := ""; !strings.HasPrefix(line, ": renewed"); {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

// Holds that share one connection of HTTP/2 are independent of each other.
func TestHoldsOverOneHTTP2ConnectionDoNotDisturbEachOther(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "s", "", nil, []byte{127, 0, 0, 1})
	h := start(t, func(c *Config, _ *registry.Config) {
		c.TLS = &TLS{Cert: ca.file("s.pem"), Key: ca.file("s.key")}
	})
	h.client = ca.client(t, "")
	const n = 8
	var leases [n]*register.Lease
	var all sync.WaitGroup
	for i := range n {
		_, port := serving(t)
		all.Go(func() {
			held := make(chan struct{})
			var once sync.Once
			l, err := register.Keep(t.Context(), register.Config{
				Hooks: []string{h.URL()}, Service: "_math._tcp", ID: fmt.Sprintf("i%d", i),
				Registration: register.Registration{Port: uint16(port), Lease: register.Duration(9 * time.Second), TTL: register.Duration(time.Second)},
				HTTP:         h.client,
				OnChange: func(st register.Status) {
					if st.State == register.LeaseHeld && st.Beats > 0 {
						once.Do(func() { close(held) })
					}
				},
			})
			if err != nil {
				t.Error(err)
				return
			}
			leases[i] = l
			<-held
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	// With a lease of 9 s, a renewal may be late by 750 ms before its client registers again.
	eventually(t, "each was renewed twice", func() bool {
		for _, l := range leases {
			if l.Status().Beats < 3 {
				return false
			}
		}
		return true
	})
	for i, l := range leases {
		st := l.Status()
		if st.Registrations != 1 || st.Failures != 0 || st.State != register.LeaseHeld {
			t.Errorf("%d: %d PUTs, %d failures, %v", i, st.Registrations, st.Failures, st.State)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
