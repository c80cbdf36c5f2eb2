package resolver

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// herd is many clients that follow one name at one server, each as a process of its own, and
// when they send something.
type herd struct {
	mu       sync.Mutex // guards what follows
	queries  []time.Time
	connects []time.Time
}

// note notes that a query was sent, or that a connection was begun.
func (h *herd) note(to *[]time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*to = append(*to, time.Now())
}

// take gives what was sent since the last call.
func (h *herd) take() (queries, connects []time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	queries, connects, h.queries, h.connects = h.queries, h.connects, nil, nil
	return queries, connects
}

// client gives one of the clients. The seed makes its pauses the same in each run.
func (h *herd) client(n fakeNet, seed int) *Resolver {
	r := n.client("ns1")
	r.Rand = rand.New(rand.NewPCG(uint64(seed), 1))
	dial := r.Dial
	r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if network == "tcp" {
			h.note(&h.connects)
			return dial(ctx, network, addr)
		}
		h.note(&h.queries) // also if the socket tells at once that the server refuses
		conn, err := dial(ctx, network, addr)
		return &resending{Conn: conn, h: h}, err
	}
	return r
}

// resending is a socket of datagrams that notes each one after the first.
type resending struct {
	net.Conn
	h    *herd
	sent bool
}

func (c *resending) Write(b []byte) (int, error) {
	if c.sent {
		c.h.note(&c.h.queries)
	}
	c.sent = true
	return c.Conn.Write(b)
}

// busiest is the most moments within a span.
func busiest(at []time.Time, span time.Duration) (most int) {
	slices.SortFunc(at, time.Time.Compare)
	from := 0
	for i := range at {
		for at[i].Sub(at[from]) >= span {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// TestNoHerd: a server with many clients is killed and comes back. What all of them send stays
// within the bound of docs/limits.md, "dnsd itself": in any second one query and one connection
// of each client, in any 100 ms a fifth of that, and a quarter of it, or little more, in any
// second after a return that was late. All follow the name again within 10 s.
func TestNoHerd(t *testing.T) {
	for _, away := range []time.Duration{0, time.Second, 20 * time.Second, 3 * time.Minute} {
		t.Run(away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { killAndReturn(t, away) })
		})
	}
}

// herdSize is how many clients there are: enough for a bound of 100 ms to be far from chance, and few
// enough for the race detector.
const herdSize = 300

func killAndReturn(t *testing.T, away time.Duration) {
	p, s, h, leave := gather(t)
	if away > 0 {
		s.fault("udp", syscall.ECONNREFUSED)
		s.fault("tcp", syscall.ECONNREFUSED)
	}
	p.cut()
	time.Sleep(away)
	s.fault("udp", nil)
	s.fault("tcp", nil)
	queries, connects := h.take()
	time.Sleep(10 * time.Second)
	synctest.Wait()
	if p.open() != herdSize {
		t.Errorf("%d of %d clients follow the name 10 s after the return", p.open(), herdSize)
	}
	lateQueries, lateConnects := h.take()
	if away >= 20*time.Second {
		late := herdSize * 3 / 10
		atMost(t, "queries after the return", lateQueries, time.Second, late)
		atMost(t, "connections after the return", lateConnects, time.Second, late)
	}
	queries, connects = append(queries, lateQueries...), append(connects, lateConnects...)
	atMost(t, "queries", queries, time.Second, herdSize)
	atMost(t, "connections", connects, time.Second, herdSize)
	atMost(t, "queries", queries, 100*time.Millisecond, herdSize/5)
	atMost(t, "connections", connects, 100*time.Millisecond, herdSize/5)
	leave()
}

// TestNoHerdAtAServerThatEndsEachSession: it answers by DNS, and ends all sessions four times a
// second. The clients come ever more seldom.
func TestNoHerdAtAServerThatEndsEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, h, leave := gather(t)
		end := func(d time.Duration) (connects []time.Time) {
			for begin := time.Now(); time.Since(begin) < d; time.Sleep(250 * time.Millisecond) {
				p.cut()
			}
			_, connects = h.take()
			return connects
		}
		connects := end(10 * time.Second)
		atMost(t, "connections", connects, time.Second, herdSize)
		atMost(t, "connections", connects, 100*time.Millisecond, herdSize/5)
		atMost(t, "connections after 10 s", end(10*time.Second), time.Second, herdSize/3)
		leave()
	})
}

// gather lets clients come that follow a name, and forgets what they have sent. The last result
// lets them go: none of them was without endpoints at any time.
func gather(t *testing.T) (p *fakePush, s *fakeServer, h *herd, leave func()) {
	t.Helper()
	p, s, _ = following(t, 2)
	n, h := fakeNet{"ns1:53": s}, new(herd)
	var ws []*watcher
	for i := range herdSize {
		ws = append(ws, watch(t, h.client(n, i), mathTCP))
	}
	time.Sleep(time.Minute)
	if qs, cs := h.take(); len(qs) != herdSize || len(cs) != herdSize {
		t.Errorf("%d queries and %d connections in the first minute, want one of each client", len(qs), len(cs))
	}
	return p, s, h, func() {
		for _, w := range ws {
			w.close()
		}
		for _, w := range ws {
			for _, state := range w.seen() {
				if len(state.Endpoints) != 2 {
					t.Fatalf("a client has %d endpoints: %v", len(state.Endpoints), state.Err)
				}
			}
		}
	}
}

// atMost checks that at most so many moments are in any span.
func atMost(t *testing.T, what string, at []time.Time, span time.Duration, limit int) {
	t.Helper()
	got := busiest(at, span)
	t.Logf("%s: at most %d within %v, bound %d", what, got, span, limit)
	if got > limit {
		t.Errorf("%s: %d within %v, want at most %d", what, got, span, limit)
	}
}
