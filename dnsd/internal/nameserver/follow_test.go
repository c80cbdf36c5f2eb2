package nameserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/resolver"
)

// inMemory is a name server whose clients are connected by pipes, so that hours pass in a
// moment under testing/synctest, and nothing depends on the machine.
type inMemory struct {
	s    *Server
	zone *zone.Zone
	rev  uint64
	all  map[registry.Key]*registry.Instance

	served sync.WaitGroup // connections

	mu    sync.Mutex // guards what follows
	away  bool       // no connection is taken
	wires []*wire
}

func newInMemory(t *testing.T, ins ...*registry.Instance) *inMemory {
	t.Helper()
	n := &inMemory{all: map[registry.Key]*registry.Instance{}}
	n.zone, n.rev = testZone(t, ins...), uint64(len(ins))
	for _, in := range ins {
		n.all[in.Key] = in
	}
	s, err := listen(Config{Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: n.zone}}}, false)
	if err != nil {
		t.Fatal(err)
	}
	n.s = s
	t.Cleanup(func() {
		s.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, w := range n.wires {
			w.up.set(true)
			w.down.set(true)
			w.cut()
		}
	})
	return n
}

// client gives a Resolver that asks the server.
func (n *inMemory) client() *resolver.Resolver {
	return &resolver.Resolver{Servers: []string{"ns:53"}, Dial: n.dial, MaxEndpoints: 10000}
}

var errNoRoute = errors.New("no route")

func (n *inMemory) dial(_ context.Context, network, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	from := netip.MustParseAddr("192.0.2.1")
	if network == "udp" {
		go func() {
			defer theirs.Close()
			r, buf := responder{count: n.s.tcpCounters(), from: from}, make([]byte, maxTCP)
			for {
				size, err := theirs.Read(buf)
				if err != nil {
					return
				}
				n.s.prepare(&r, time.Now())
				if out := r.respond(nil, buf[:size], from, overUDP); len(out) > 0 {
					if _, err := theirs.Write(out); err != nil {
						return
					}
				}
			}
		}()
		return ours, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return nil, errNoRoute
	}
	n.s.accept(context.Background(), theirs, overTCP, &n.served)
	w := &wire{client: ours, server: theirs, up: newTap(), down: newTap()}
	n.wires = append(n.wires, w)
	return w.connect(), nil
}

// change applies a change to the zone. A nil now removes the instance.
func (n *inMemory) change(key registry.Key, now *registry.Instance) {
	if now == nil && n.all[key] == nil {
		return
	}
	n.rev++
	n.zone.Apply([]registry.Change{{Revision: n.rev, Time: time.Now(), Old: n.all[key], New: now}})
	if n.all[key] = now; now == nil {
		delete(n.all, key)
	}
}

// truth is the endpoints of a service in the zone, in words.
func (n *inMemory) truth(service string) string {
	var out []string
	for key, in := range n.all {
		if key.Service == service {
			out = append(out, fmt.Sprintf("%s:%d %d/%d", in.Host, in.Port, in.Priority, in.Weight))
		}
	}
	return joined(out)
}

func told(st resolver.State) string {
	var out []string
	for _, ep := range st.Endpoints {
		out = append(out, fmt.Sprintf("%s %d/%d", ep.Addr, ep.Priority, ep.Weight))
	}
	return joined(out)
}

func joined(words []string) string {
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// wire is a connection on whose way something can happen.
type wire struct {
	client, server net.Conn // the ends of two pipes
	up, down       *tap
	ends           atomic.Int32 // directions that have ended
}

// connect returns the client's end.
func (w *wire) connect() net.Conn {
	near, far := net.Pipe()
	toServer := w.client
	w.client = near
	go w.up.carry(toServer, far, &w.ends)
	go w.down.carry(far, toServer, &w.ends)
	return near
}

// live is one of the connections that have not ended, if there is any.
func (n *inMemory) live(rnd *rand.Rand) *wire {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wires = slices.DeleteFunc(n.wires, func(w *wire) bool { return w.ends.Load() == 2 })
	if len(n.wires) == 0 {
		return nil
	}
	return n.wires[rnd.IntN(len(n.wires))]
}

// cut ends the connection at both ends.
func (w *wire) cut() {
	w.client.Close()
	w.server.Close()
}

// tap carries one direction of a connection, unless it is closed: then what comes waits.
type tap struct {
	mu     sync.Mutex
	opened chan struct{} // is closed while the tap is open
	open   bool
}

func newTap() *tap {
	t := &tap{opened: make(chan struct{}), open: true}
	close(t.opened)
	return t
}

func (t *tap) set(open bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case open && !t.open:
		close(t.opened)
	case !open && t.open:
		t.opened = make(chan struct{})
	}
	t.open = open
}

func (t *tap) pass() {
	t.mu.Lock()
	opened := t.opened
	t.mu.Unlock()
	<-opened
}

func (t *tap) carry(to, from net.Conn, ends *atomic.Int32) {
	defer ends.Add(1)
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 5000) // less than a message
	for {
		size, err := from.Read(buf)
		t.pass()
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:size]); err != nil {
			return
		}
	}
}

// watching collects what a Watch yields.
type watching struct {
	mu   sync.Mutex
	last resolver.State
	seen int
}

func (w *watching) now() (resolver.State, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.seen
}

// watch follows a service until the test ends.
func (n *inMemory) watch(t *testing.T, r *resolver.Resolver, name string) *watching {
	ctx, cancel := context.WithCancel(t.Context())
	w, done := new(watching), make(chan struct{})
	go func() {
		defer close(done)
		for st := range r.Watch(ctx, name) {
			w.mu.Lock()
			w.last = st
			w.seen++
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// TestALargeServiceIsFollowed: an answer of DNS is a sample of it, or has not all addresses.
// A hint compares the two, and the session goes on.
func TestALargeServiceIsFollowed(t *testing.T) {
	for _, tt := range []struct{ instances, name int }{{750, 60}, {1600, 5}, {1750, 5}} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const service = "_math._tcp"
				ins := instances(service, tt.instances)
				for i, in := range ins {
					in.ID = fmt.Sprintf("%s%05d", strings.Repeat("i", tt.name-5), i)
				}
				n := newInMemory(t, ins...)
				r := n.client()
				w := n.watch(t, r, service+".svc")
				time.Sleep(time.Minute)
				synctest.Wait()
				begun := r.Freshness(service + ".svc")
				if st, _ := w.now(); begun.By != "push" || told(st) != n.truth(service) {
					t.Fatalf("%+v, %d endpoints", begun, len(st.Endpoints))
				}
				_, seen := w.now()
				r.Refresh(service + ".svc")
				time.Sleep(20 * time.Minute) // another sample is drawn
				r.Refresh(service + ".svc")
				time.Sleep(time.Minute)
				if got := r.Freshness(service + ".svc"); got != begun {
					t.Errorf("%+v, it was %+v", got, begun)
				}
				if _, now := w.now(); now != seen {
					t.Errorf("%d states more, though nothing has changed", now-seen)
				}
				n.change(ins[7].Key, nil)
				synctest.Wait()
				if st, _ := w.now(); told(st) != n.truth(service) {
					t.Errorf("%d endpoints at the moment of a change", len(st.Endpoints))
				}
			})
		})
	}
}

// TestRandomCuts: connections are cut, held up in one direction or both, ended at one end
// alone, and refused, while instances come, go and change. In the end the client has what the
// zone has.
func TestRandomCuts(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 15))
				const service = "_math._tcp"
				n := newInMemory(t, instances(service, rnd.IntN(200))...)
				r := n.client()
				r.Rand = rand.New(rand.NewPCG(seed, 16))
				w := n.watch(t, r, service+".svc")
				change := func() {
					in := instance(service, rnd.IntN(200))
					if in.Weight += uint16(rnd.IntN(3)); rnd.IntN(3) == 0 {
						n.change(in.Key, nil)
					} else {
						n.change(in.Key, in)
					}
				}
				for step := range 60 {
					one := n.live(rnd)
					what := rnd.IntN(10)
					if step == 59 {
						what = 7 // and no hint follows
					}
					switch what {
					case 0, 1, 2, 3:
						for range 1 + rnd.IntN(3) {
							change()
						}
					case 4:
						for range 100 { // in one difference, if the session is behind
							change()
						}
					case 5:
						if one != nil {
							one.cut()
						}
					case 6:
						if one != nil { // one end learns of it later
							[]net.Conn{one.client, one.server}[rnd.IntN(2)].Close()
						}
					case 7:
						if one != nil {
							tap := []*tap{one.up, one.down}[rnd.IntN(2)]
							tap.set(false)
							if rnd.IntN(2) == 0 { // otherwise for good
								time.AfterFunc(time.Duration(rnd.IntN(90))*time.Second, func() { tap.set(true) })
							}
						}
					case 8:
						n.mu.Lock()
						n.away = true
						n.mu.Unlock()
						time.AfterFunc(time.Duration(rnd.IntN(10000))*time.Millisecond, func() {
							n.mu.Lock()
							defer n.mu.Unlock()
							n.away = false
						})
					case 9:
						r.Refresh(service + ".svc")
					}
					time.Sleep(time.Duration(rnd.IntN(1+rnd.IntN(20000))) * time.Millisecond)
				}
				time.Sleep(3 * time.Minute) // the longest pause, and the time in which a dead session is found
				synctest.Wait()
				for range 2 { // and the session tells of what comes
					if st, _ := w.now(); told(st) != n.truth(service) || r.Freshness(service+".svc").By != "push" {
						t.Fatalf("%+v, %d endpoints, the zone has %d\n%s\n%s", r.Freshness(service+".svc"), len(st.Endpoints), len(n.all), told(st), n.truth(service))
					}
					change()
					synctest.Wait()
				}
			})
		})
	}
}
