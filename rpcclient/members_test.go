package rpcclient

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/resolver"
)

// DNS says different things while all servers work. The table has how long it may say each
// before a connection is closed.
func TestNodesThatAnswerPingsOutliveWhatDNSSays(t *testing.T) {
	soa := func(m *dns.Msg) {
		m.Ns = append(m.Ns, &dns.SOA{Hdr: dns.RR_Header{Name: "svc.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 5}, Ns: "ns.svc.", Mbox: "h.svc.", Minttl: 5})
	}
	srv := func(m *dns.Msg, target string) {
		m.Answer = append(m.Answer, &dns.SRV{Hdr: dns.RR_Header{Name: "_math._tcp.svc.", Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: stormTTL}, Port: 80, Target: target})
	}
	forLong := 100 * time.Hour
	if peertest.UnderRace() {
		forLong = 10 * time.Hour // else 40 s of real time
	}
	for name, c := range map[string]struct {
		odd  func(q, m *dns.Msg)
		long time.Duration
	}{
		"no such name, as of a registry that was restarted without its memory": {func(_, m *dns.Msg) {
			m.Rcode = dns.RcodeNameError
			soa(m)
		}, 20 * time.Second},
		"the name without records": {func(_, m *dns.Msg) { soa(m) }, 20 * time.Second},
		"one of three, as of a registry that is being filled again": {func(_, m *dns.Msg) {
			srv(m, "a0.math.tcp.svc.")
			m.Extra = append(m.Extra, &dns.A{Hdr: dns.RR_Header{Name: "a0.math.tcp.svc.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: stormTTL}, A: net.IPv4(10, 0, 0, 1)})
		}, 20 * time.Second},
		"targets that do not exist": {func(q, m *dns.Msg) {
			if q.Question[0].Qtype != dns.TypeSRV {
				m.Rcode = dns.RcodeNameError
				soa(m)
				return
			}
			for _, target := range []string{"a0.math.tcp.svc.", "a1.math.tcp.svc.", "a2.math.tcp.svc."} {
				srv(m, target)
			}
		}, 20 * time.Second},
		"a lame server that refuses":              {func(_, m *dns.Msg) { m.Rcode = dns.RcodeRefused }, 3 * time.Hour},
		"a lame server that answers with nothing": {func(_, m *dns.Msg) { m.Authoritative = false }, 20 * time.Second},
		"a server that fails":                     {func(_, m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, forLong},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				client, err := New("_math._tcp.svc", &Config{
					Conn:   ConnConfig{Dial: w.dial, PingInterval: time.Minute},
					Source: &resolver.Resolver{Servers: []string{"10.0.0.53"}, Dial: w.ask, Rand: rand.New(rand.NewPCG(1, 1))},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				allUp(t, client, 3)
				time.Sleep(time.Minute)
				check := func(when string) {
					t.Helper()
					usable := 0
					for _, info := range client.group.Nodes() {
						if info.Node.Value().(*node).up() {
							usable++
						}
					}
					if dials := client.Stats().Dials; usable != 3 || dials != 6 {
						t.Fatalf("%s: %d of 3 nodes are usable, %d dials (6 at first)", when, usable, dials)
					}
				}
				for range 3 {
					w.set(func() { w.odd = c.odd })
					for range 20 {
						time.Sleep(c.long / 20)
						check("meanwhile")
					}
					w.set(func() { w.odd = nil })
					time.Sleep(10 * time.Minute)
					check("when all is well again")
				}
			})
		})
	}
}

func TestWorkingNodesOutliveAnEmptyAnswer(t *testing.T) {
	for _, answer := range []string{"NXDOMAIN", ""} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(map[string]func(net.Conn){"a": stock(&Arith{}), "b": stock(&Arith{})})
			a := announce("a", "b")
			c := fakeClient(t, f, Config{Source: a})
			defer c.Close()
			allUp(t, c, 2)
			a.word(answer)
			for range 29 {
				time.Sleep(time.Second)
				if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
					t.Fatal(err)
				}
			}
			a.word("a b")
			time.Sleep(time.Minute)
			if n := len(f.dialled("a")) + len(f.dialled("b")); n != 4 {
				t.Errorf("%d dials, want 4: the connections should have stayed", n)
			}
			a.word(answer)
			time.Sleep(31 * time.Second)
			begin := time.Now()
			err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
			if !errors.Is(err, ErrNoNodes) {
				t.Fatal("used without end:", err)
			}
			if took := time.Since(begin); answer == "NXDOMAIN" && took > 0 {
				t.Errorf("the call waited %v for a service that is gone", took)
			}
		})
	}
}

func TestWorkingNodesOutliveAnyTimeWithoutAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"a": stock(&Arith{})})
		a := announce("a", "gone")
		c := fakeClient(t, f, Config{Source: a})
		defer c.Close()
		ready(t, c)
		a.word("unanswered")
		for range 100 {
			time.Sleep(time.Hour)
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(err)
			}
		}
		if nodes := c.Stats().Nodes; len(nodes) != 1 {
			t.Errorf("%+v", nodes)
		}
		w := c.page(time.Now()).Nodes[0].Why
		if !strings.Contains(w, "no longer announced") {
			t.Errorf("the page says %q", w)
		}
	})
}

func TestRemovedNodeThatDrainsGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain := make(chan struct{})
		f := newFakeNet(map[string]func(net.Conn){"a": func(nc net.Conn) {
			p := greeted(nc)
			go silentWith(p)
			<-drain
			p.drain(1 << 40)
		}})
		a := announce("a")
		c := fakeClient(t, f, Config{Source: a, Conn: ConnConfig{PerNode: 1}})
		defer c.Close()
		ready(t, c)
		a.word("NXDOMAIN")
		synctest.Wait()
		if n := len(c.Stats().Nodes); n != 1 {
			t.Fatalf("%d nodes", n)
		}
		close(drain)
		synctest.Wait()
		if c.member("a") != nil {
			t.Error("still used")
		}
	})
}

func silentWith(p *peer) {
	for {
		if _, _, err := p.next(); err != nil {
			return
		}
	}
}

// A deployment that replaces all nodes at once must not leave a moment without nodes, and
// must not send calls to the old ones once the new ones work.
func TestReplacedNodesAreUsedUntilTheNewOnesWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"a": stock(&Arith{}), "b": stock(&Arith{})})
		a := announce("a", "b")
		c := fakeClient(t, f, Config{Source: a})
		defer c.Close()
		ready(t, c)
		a.word("c d")
		for range 10 {
			time.Sleep(time.Second)
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(err)
			}
		}
		f.set("c", stock(&Arith{}))
		time.Sleep(6 * time.Second)
		for range 20 {
			var node string
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), OnNode(&node)); err != nil || node != "c" {
				t.Fatal(node, err)
			}
		}
		synctest.Wait()
		if c.member("a") != nil || c.member("b") != nil {
			t.Error("the old ones are still there")
		}
	})
}

// All nodes work, and which of them are announced changes at random. No call may fail
// while a node was announced within the last half minute.
func TestNoAnswerMakesCallsFailWhileNodesWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := map[string]func(net.Conn){}
		for i := range 8 {
			nodes[fmt.Sprint("n", i)] = stock(&Arith{})
		}
		f := newFakeNet(nodes)
		a := announce("n0", "n1", "n2", "n3")
		c := fakeClient(t, f, Config{Source: a, WaitForNode: time.Second})
		defer c.Close()
		ready(t, c)
		for i := range 200 {
			switch {
			case i%7 == 6:
				a.word("NXDOMAIN")
			case i%5 == 4:
				a.word("unanswered")
			default:
				list := ""
				for n := range 8 {
					if draw(100)%3 != 0 || n == i%8 {
						list += fmt.Sprint(" n", n)
					}
				}
				a.word(list)
			}
			time.Sleep(draw(20 * time.Second))
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(i, err)
			}
		}
	})
}

func TestLogTellsWhoComesStaysAndIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		var warned []string
		f := newFakeNet(map[string]func(net.Conn){"a": stock(&Arith{}), "b": stock(&Arith{})})
		a := announce("a", "b")
		c := fakeClient(t, f, Config{Source: a, Logger: slog.New(hookLog(func(r slog.Record) {
			if r.Level >= slog.LevelWarn {
				warned = append(warned, r.Message)
			}
			r.Attrs(func(attr slog.Attr) bool {
				if attr.Key == "node" {
					log = append(log, attr.Value.String()+": "+r.Message)
				}
				return true
			})
		}))})
		allUp(t, c, 2)
		a.word("a")
		synctest.Wait()
		for range 3 { // it is a warning once
			a.word("NXDOMAIN")
		}
		time.Sleep(time.Minute)
		c.Close()
		synctest.Wait()
		if !slices.Equal(warned, []string{"rpcclient: cannot be resolved"}) {
			t.Errorf("warnings: %q", warned)
		}
		for _, want := range []string{
			"a: rpcclient: node is announced", "b: rpcclient: node up",
			"b: rpcclient: node is no longer announced, and let go",
			"a: rpcclient: node is no longer announced, and kept while it works",
			"a: rpcclient: node is no longer announced, and let go",
		} {
			if i := slices.Index(log, want); i < 0 {
				t.Errorf("%q is not in the log: %q", want, log)
			} else {
				log = log[i:]
			}
		}
	})
}
