package hook

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// guest is a client that speaks HTTP/1.1 by hand, from an address of its choice.
type guest struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (p *pipes) guest(t *testing.T, ip net.IP) *guest {
	t.Helper()
	c, err := p.dialFrom(t.Context(), ip)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &guest{t, c, bufio.NewReader(c)}
}

// ask sends a request and returns the status; 0: the connection is closed.
func (g *guest) ask(method, path, body, token string) int {
	g.t.Helper()
	auth := ""
	if token != "" {
		auth = "Authorization: Bearer " + token + "\r\n"
	}
	if _, err := fmt.Fprintf(g.conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s\r\n%s", method, path, len(body), auth, body); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(g.in, nil)
	if err != nil {
		return 0
	}
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	return resp.StatusCode
}

// Strangers fill the hook in every way they can. Meanwhile a caller with a token
// registers over old and new connections, and its hold stays.
func TestStrangersLeaveRoomForThoseWithAToken(t *testing.T) {
	one := func(int) net.IP { return net.IPv4(192, 0, 2, 66) }
	many := func(i int) net.IP { return net.IPv4(10, 1, byte(i>>8), byte(i)) }
	for _, c := range []struct {
		name string
		from func(i int) net.IP
		act  func(g *guest)
	}{
		{"one address, kept alive", one, func(g *guest) { g.ask("GET", "/healthz", "", "") }},
		{"one address, silent", one, func(*guest) {}},
		{"one address, half a header", one, func(g *guest) { _, _ = g.conn.Write([]byte("GET / HTTP/1.1\r\nHo")) }},
		{"one address, refused", one, func(g *guest) { g.ask("PUT", a1, `{"port":1}`, "wrong") }},
		{"many addresses, kept alive", many, func(g *guest) { g.ask("GET", "/healthz", "", "") }},
		{"many addresses, half a header", many, func(g *guest) { _, _ = g.conn.Write([]byte("GET / HTTP/1.1\r\nHo")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				h := startOn(t, p, func(c *Config, _ *registry.Config) {
					c.Limits.Connections = 40
					c.times.header = time.Hour
					c.Tokens = []Token{{Secret: "s", Verbs: []Verb{Write}, Services: []string{"*"}}}
				})
				own := net.IPv4(192, 0, 2, 7)
				old, held := p.guest(t, own), p.guest(t, own)
				if got := old.ask("PUT", a1, `{"port":1}`, "s"); got != 201 {
					t.Fatalf("before: %d", got)
				}
				if got := held.ask("POST", "/v1/services/_math._tcp/instances/held/hold", `{"port":1}`, "s"); got != 200 {
					t.Fatalf("hold: %d", got)
				}
				for i := range 500 {
					c.act(p.guest(t, c.from(i)))
					synctest.Wait()
					if i%10 > 0 {
						continue
					}
					if got := old.ask("PUT", a1, `{"port":1}`, "s"); got != 200 {
						t.Fatalf("after %d strangers, over the old connection: %d", i, got)
					}
					fresh := p.guest(t, own)
					if got := fresh.ask("PUT", a1, `{"port":1}`, "s"); got != 200 {
						t.Fatalf("after %d strangers, over a new connection: %d", i, got)
					}
					fresh.conn.Close()
					synctest.Wait()
				}
				if h.holds.count() != 1 {
					t.Error("the hold is gone")
				}
				if open, _, evicted := h.listener.pool.counts(); open > 40 || evicted == 0 {
					t.Errorf("%v connections are open, %v were evicted", open, evicted)
				}
			})
		})
	}
}

// Without tokens all callers are equal: a used connection is never closed for another,
// and // an unused one is.
func TestUnusedConnectionsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		startOn(t, p, func(c *Config, _ *registry.Config) { c.Limits.Connections = 3 })
		watch, idle := p.guest(t, net.IPv4(127, 0, 0, 1)), p.guest(t, net.IPv4(127, 0, 0, 1))
		if watch.ask("GET", "/v1/watch", "", "") != 200 || idle.ask("GET", "/healthz", "", "") != 200 {
			t.Fatal("no room at the beginning")
		}
		synctest.Wait()
		for i := range 20 {
			g := p.guest(t, net.IPv4(127, 0, 0, 1))
			if got := g.ask("GET", "/healthz", "", ""); got != 200 {
				t.Fatalf("number %d: %d", i, got)
			}
			synctest.Wait()
		}
		if got := idle.ask("GET", "/healthz", "", ""); got != 0 {
			t.Errorf("the longest unused one is still there: %d", got)
		}
		if _, err := watch.in.ReadString('\n'); err != nil {
			t.Errorf("the watch was closed: %v", err)
		}
	})
}

// TestPoolKeepsItsCounts compares a pool with a simple model of it, at random.
func TestPoolKeepsItsCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPool()
		most, perAddr := rapid.IntRange(0, 8).Draw(t, "most"), rapid.IntRange(0, 4).Draw(t, "perAddr")
		secured := rapid.Bool().Draw(t, "secured")
		p.set(most, perAddr, secured)
		var open []*conn
		drop := func(c *conn) {
			for i := range open {
				if open[i] == c {
					open = append(open[:i:i], open[i+1:]...)
					return
				}
			}
			t.Fatal("evicted twice, or never open")
		}
		pick := func() *conn { return open[rapid.IntRange(0, len(open)-1).Draw(t, "which")] }
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				c := &conn{pool: p, addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 4).Draw(t, "addr"))})}
				victim, ok := p.enter(c)
				if victim != nil {
					if victim.peer != nil {
						t.Fatal("the victim still has its place")
					}
					drop(victim)
				}
				if ok {
					open = append(open, c)
				}
			},
			"use": func(t *rapid.T) {
				if len(open) > 0 {
					p.use(pick(), rapid.Bool().Draw(t, "busy"))
				}
			},
			"know": func(t *rapid.T) {
				if len(open) > 0 {
					p.know(pick(), rapid.Bool().Draw(t, "known"))
				}
			},
			"leave": func(t *rapid.T) {
				if len(open) > 0 {
					c := pick()
					p.leave(c)
					p.leave(c) // a second time changes nothing
					drop(c)
				}
			},
			"set": func(t *rapid.T) {
				secured = rapid.Bool().Draw(t, "secured")
				p.set(most, perAddr, secured)
			},
			"": func(t *rapid.T) {
				strangers, byAddr, listed := 0, map[netip.Addr]int{}, 0
				for _, c := range open {
					byAddr[c.addr]++
					if !c.known {
						strangers++
					}
					if !c.known || !c.busy {
						listed++
					}
				}
				if p.open != len(open) || p.strangers != strangers || len(p.peers) != len(byAddr) || len(p.crowd) != len(byAddr) {
					t.Fatalf("%d open, %d strangers, %d peers; want %d, %d, %d", p.open, p.strangers, len(p.peers), len(open), strangers, len(byAddr))
				}
				for i, q := range p.crowd {
					if q.open != byAddr[q.addr] || q.index != i || q.spare != p.spareLocked(q) || q.spare > p.crowd[0].spare {
						t.Fatalf("peer %+v at %d", q, i)
					}
					listed -= q.idle.Len() + q.busy.Len() + q.rested.Len()
				}
				if listed != 0 {
					t.Fatalf("%d connections are in the wrong list", listed)
				}
				if p.open > most {
					t.Fatalf("%d of %d open", p.open, most)
				}
			},
		})
	})
}

// Connections are opened, used, known and closed in many goroutines, and are evicted
// meanwhile. In the end every place is free.
func TestPoolUnderManyHands(t *testing.T) {
	p := newPool()
	p.set(20, 5, true)
	var hands sync.WaitGroup
	for n := range 16 {
		hands.Go(func() {
			for i := range 2000 {
				c := &conn{Conn: closed{}, pool: p, addr: netip.AddrFrom4([4]byte{10, 0, 0, byte((n + i) % 7)})}
				victim, ok := p.enter(c)
				if victim != nil {
					_ = victim.Conn.Close() // as the listener does; the other goroutine still has it
				}
				if !ok {
					continue
				}
				p.use(c, true)
				p.know(c, i%3 == 0)
				p.use(c, false)
				_ = c.Close()
			}
		})
	}
	hands.Wait()
	if p.open != 0 || p.strangers != 0 || len(p.peers) != 0 || len(p.crowd) != 0 {
		t.Errorf("%d open, %d strangers, %d peers, %d in the crowd", p.open, p.strangers, len(p.peers), len(p.crowd))
	}
}

// closed is a connection that can only be closed.
type closed struct{ net.Conn }

func (closed) Close() error { return nil }
