package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// TestAFollowWithoutAResponseEndsTheSession.
func TestAFollowWithoutAResponseEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		answer := two(t)
		r := fakeNet{"ns1:53": newServer(answer)}.client("ns1")
		inner, first := r.Dial, true
		r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if network == "udp" || !first {
				return inner(ctx, network, addr)
			}
			first = false
			return client, nil
		}
		go func() {
			head := make([]byte, 2+headerSize+4+8)
			io.ReadFull(server, head)
			server.Write(dso.AppendResponse(nil, 1, dns.RcodeSuccess, dso.KeepAlive{Interval: time.Hour}.TLV()))
			io.Copy(io.Discard, server)
		}()
		w := watch(t, r, mathTCP)
		defer w.close()
		open := func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.pushServers["ns1:53"].session != nil
		}
		time.Sleep(patience - time.Second)
		if !open() {
			t.Error("the session ended before its time")
		}
		time.Sleep(2 * time.Second)
		if open() {
			t.Error("the session waits for ever")
		}
	})
}

// TestAWatchThatEndsEndsItsSession, whatever it is doing.
func TestAWatchThatEndsEndsItsSession(t *testing.T) {
	for name, change := range map[string]func(p *fakePush){
		"the server has not greeted": func(p *fakePush) { p.hello = func(uint16) [][]byte { return nil } },
		"the set has not come":       func(p *fakePush) { p.greet = func(uint16, string) [][]byte { return nil } },
		"it is followed":             func(*fakePush) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _, r := following(t, 2)
				change(p)
				w := watch(t, r, mathTCP)
				time.Sleep(100 * time.Millisecond)
				begin := time.Now()
				w.close()
				if took := time.Since(begin); took != 0 {
					t.Errorf("took %v", took)
				}
				synctest.Wait()
				if p.open() != 0 {
					t.Error("the session goes on")
				}
				w = watch(t, r, mathTCP) // and another one can begin at once
				time.Sleep(100 * time.Millisecond)
				if p.sessionsBegun() != 2 {
					t.Errorf("%d sessions", p.sessionsBegun())
				}
				w.close()
			})
		})
	}
}

// TestIdsAreUsedInTurn, so that what was sent about a name that was left is not taken for
// another, and none is used twice at the same time.
func TestIdsAreUsedInTurn(t *testing.T) {
	s := pushSession{active: map[uint16]*follow{}, asked: map[uint16]struct{}{}, lastID: 1<<16 - 3}
	s.active[1], s.asked[3] = new(follow), struct{}{}
	var got []uint16
	for range 5 {
		got = append(got, s.newIDLocked())
	}
	if want := []uint16{65534, 65535, 2, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestNoChangeIsMissedOrAppliedTwice: changes, sessions that are cut, servers that lag, die
// and are stale, in any order. Whatever a session told is a set that there was, none of
// those is older than one that was told before, and in the end the state is the truth.
func TestNoChangeIsMissedOrAppliedTwice(t *testing.T) {
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			n := fakeNet{}
			var names []string
			var servers []*fakePush
			var hosts []*fakeServer
			for i := range 1 + rnd.IntN(3) {
				p := newPush()
				host := newServer(p.handler(t))
				host.push = p
				name := fmt.Sprintf("ns%d", i+1)
				names, servers, hosts = append(names, name), append(servers, p), append(hosts, host)
				n[name+":53"] = host
			}
			r := n.client(names...)
			r.Rand = rand.New(rand.NewPCG(seed, 4))
			// Each set has an instance whose port is its revision.
			sets := [][]dns.RR{nil, nil}
			at := make([]int, len(servers)) // the revision that each server has
			for i := range at {
				at[i] = 1
			}
			catchUp := func(i, to int, set []dns.RR) {
				p := servers[i]
				p.mu.Lock()
				defer p.mu.Unlock()
				if to < at[i] {
					return
				}
				at[i], p.revision = to, uint64(to)
				p.setLocked(mathTCP, set)
			}
			w := watch(t, r, mathTCP)
			last, sights := uint64(0), 0
			look := func() {
				synctest.Wait()
				f, got := r.Freshness(mathTCP), w.last()
				if f.By != "push" {
					return
				}
				if sights++; f.Revision < last {
					t.Errorf("seed %d: revision %d after %d", seed, f.Revision, last)
				}
				last = f.Revision
				want := slices.DeleteFunc(slices.Clone(sets[last]), func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeSRV })
				now := slices.IndexFunc(got.Endpoints, func(ep Endpoint) bool { return ep.Target == "now.math.tcp.svc." })
				if len(got.Endpoints) != len(want) || len(want) > 0 && (now < 0 || got.Endpoints[now].Addr != fmt.Sprintf("10.1.1.1:%d", 1000+last)) {
					t.Errorf("seed %d: told revision %d, but the state is %v", seed, last, addrs(got))
				}
			}
			size := 5
			for range 60 {
				switch rnd.IntN(12) {
				case 0, 1, 2, 3: // a change
					rev := len(sets)
					size = max(0, size+rnd.IntN(3)-1)
					set := append(instances(t, size), rrs(t,
						fmt.Sprintf("%s 5 IN SRV 0 1 %d now.math.tcp.svc.", mathTCP, 1000+rev), "now.math.tcp.svc. 5 IN A 10.1.1.1")...)
					sets = append(sets, set)
					for i := range servers {
						late := time.Duration(0) // at most once behind, and less than behindFor
						if rnd.IntN(3) == 0 {
							late = time.Duration(rnd.IntN(4500)) * time.Millisecond
						}
						time.AfterFunc(late, func() { catchUp(i, rev, set) })
					}
				case 4, 5, 6, 7:
					servers[rnd.IntN(len(servers))].cut()
				case 8:
					i := rnd.IntN(len(servers))
					hosts[i].become(silence)
					hosts[i].fault("tcp", io.ErrUnexpectedEOF)
					servers[i].cut()
				case 9:
					i := rnd.IntN(len(servers))
					hosts[i].become(servers[i].handler(t))
					hosts[i].fault("tcp", nil)
				case 10:
					i := rnd.IntN(len(servers))
					servers[i].mu.Lock()
					servers[i].stale = !servers[i].stale
					servers[i].setLocked(mathTCP, servers[i].records[mathTCP])
					servers[i].mu.Unlock()
				case 11:
					r.Refresh(mathTCP)
				}
				look()
				time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
				look()
			}
			time.Sleep(behindFor)
			for i := range servers { // all is well
				servers[i].mu.Lock()
				servers[i].stale = false
				servers[i].mu.Unlock()
				hosts[i].become(servers[i].handler(t))
				hosts[i].fault("tcp", nil)
				catchUp(i, len(sets)-1, sets[len(sets)-1])
			}
			time.Sleep(2 * maxPushBackoff)
			for range 200 {
				time.Sleep(2 * time.Second)
				look()
			}
			if last != uint64(len(sets)-1) || r.Freshness(mathTCP).By != "push" || sights < 100 {
				t.Errorf("seed %d: in the end %+v, the truth has revision %d; %d sights", seed, r.Freshness(mathTCP), len(sets)-1, sights)
			}
			w.close()
			time.Sleep(ended)
		})
	}
}

// FuzzSession: whatever a server sends, the client neither crashes nor hangs, holds no more
// than its bounds, and ends its session with the last Watch.
func FuzzSession(f *testing.F) {
	set := setFrames(2, dso.Whole, 7, rrs(f, mathTCP+" 5 IN SRV 0 1 80 a.svc.", "a.svc. 5 IN A 10.0.0.1"), nil)
	hello := dso.AppendResponse(nil, 1, dns.RcodeSuccess, dso.KeepAlive{Interval: time.Hour}.TLV())
	good := slices.Concat(hello, dso.AppendResponse(nil, 2, dns.RcodeSuccess, dso.Following()), set[0])
	f.Add(good)
	f.Add(slices.Concat(good, setFrames(2, dso.Stale, 8, nil, rrs(f, "a.svc. 5 IN A 10.0.0.1"))[0]))
	f.Add(slices.Concat(good, dso.AppendRetryDelay(nil, dns.RcodeSuccess, time.Second)))
	f.Add(slices.Concat(hello, dso.AppendResponse(nil, 2, dns.RcodeRefused, dso.RetryDelay(time.Second))))
	f.Add(slices.Concat(good, dso.AppendRetryDelay(nil, dns.RcodeSuccess, 0)))
	f.Add(slices.Concat(hello, dso.AppendResponse(nil, 2, dns.RcodeRefused, dso.RetryDelay(time.Millisecond))))
	f.Add(dso.AppendResponse(nil, 1, dns.RcodeNotImplemented))
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) {
			answer := two(t)
			r := fakeNet{"ns1:53": newServer(answer)}.client("ns1")
			inner := r.Dial
			r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if network == "udp" {
					return inner(ctx, network, addr)
				}
				client, server := net.Pipe()
				go func() {
					var length [2]byte // the KeepAlive, and then the FOLLOW
					io.ReadFull(server, length[:])
					io.CopyN(io.Discard, server, int64(binary.BigEndian.Uint16(length[:])))
					go io.Copy(io.Discard, server)
					io.Copy(server, bytes.NewReader(sent))
					time.Sleep(time.Minute)
					server.Close()
				}()
				return client, nil
			}
			w := watch(t, r, mathTCP)
			time.Sleep(2 * time.Minute)
			r.mu.Lock()
			for _, s := range r.pushServers {
				if s.session != nil && len(s.session.follows) > 1 {
					t.Error("a name is followed twice")
				}
			}
			r.mu.Unlock()
			w.close()
			for _, st := range w.seen() {
				if len(st.Endpoints) == 0 && st.Err == nil {
					t.Error("a state without endpoints and without an error")
				}
				for _, ep := range st.Endpoints {
					if _, _, err := net.SplitHostPort(ep.Addr); err != nil {
						t.Errorf("endpoint %+v", ep)
					}
				}
			}
			time.Sleep(2 * time.Minute)
		})
	})
}
