package resolver

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// staleNet is a network of servers that tell about n instances each, of which some are stale.
type staleNet struct {
	push    []*fakePush
	servers []*fakeServer
	marked  bool // the answers of a stale server say so; otherwise only its sessions do
}

func newStaleNet(t testing.TB, n int, marked bool) (*staleNet, *Resolver) {
	net, s := fakeNet{}, &staleNet{marked: marked}
	var names []string
	for i := range n {
		p := newPush()
		p.records[mathTCP] = instances(t, 2)
		server := newServer(s.mark(p, p.handler(t)))
		server.push = p
		name := fmt.Sprintf("ns%d", i+1)
		net[name+":53"] = server
		names, s.push, s.servers = append(names, name), append(s.push, p), append(s.servers, server)
	}
	return s, net.client(names...)
}

// mark adds what a stale server says to its answers.
func (s *staleNet) mark(p *fakePush, h handler) handler {
	return func(network string, q *dns.Msg) [][]byte {
		packets := h(network, q)
		p.mu.Lock()
		stale := p.stale
		p.mu.Unlock()
		m := new(dns.Msg)
		if err := m.Unpack(packets[0]); err != nil || !stale || !s.marked {
			return packets
		}
		code := dns.ExtendedErrorCodeStaleAnswer
		if m.Rcode == dns.RcodeNameError {
			code = dns.ExtendedErrorCodeStaleNXDOMAINAnswer
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code})
		return pack(m)
	}
}

// become makes a server stale, or well again.
func (s *staleNet) become(i int, stale bool) {
	p := s.push[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stale = stale
	p.setLocked(mathTCP, p.records[mathTCP])
}

// change changes the set at some servers.
func (s *staleNet) change(t testing.TB, n int, servers ...int) {
	for _, i := range servers {
		s.push[i].become(mathTCP, instances(t, n)...)
	}
}

func (s *staleNet) counts() (questions []int, sessions int) {
	for i := range s.servers {
		questions = append(questions, len(s.servers[i].asked("SRV")))
		sessions += s.push[i].sessionsBegun()
	}
	return questions, sessions
}

func sum(all []int) (n int) {
	for _, one := range all {
		n += one
	}
	return n
}

// TestAMarkedAnswerIsTheLastChoice: another server has a better one, also if the marked one is
// an NXDOMAIN. The stale server is not asked first after that.
func TestAMarkedAnswerIsTheLastChoice(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stale  []int
		others handler // of the servers that are not stale; nil: they answer
		want   int
		took   time.Duration
		again  []int // questions of a second Lookup
	}{
		{"one", []int{0}, nil, 3, 0, []int{0, 1, 0}},
		{"two", []int{0, 1}, nil, 3, 0, []int{0, 0, 1}},
		{"all", []int{0, 1, 2}, nil, 2, 0, []int{1, 1, 1}},
		{"the others fail", []int{0}, rcode(dns.RcodeServerFailure), 2, 0, []int{1, 1, 1}},
		{"the others are lame", []int{0}, lame, 2, 0, []int{1, 1, 1}},
		{"the others are silent", []int{0}, silence, 2, time.Second, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newStaleNet(t, 3, true)
				for i := range 3 {
					if s.push[i].stale = slices.Contains(tt.stale, i); !s.push[i].stale {
						s.change(t, 3, i)
						if tt.others != nil {
							s.servers[i].become(tt.others)
						}
					}
				}
				begin := time.Now()
				got, err := r.Lookup(t.Context(), mathTCP)
				if err != nil || len(got.Endpoints) != tt.want || got.Trust != Confirmed || time.Since(begin) != tt.took {
					t.Errorf("%v, %v after %v", got, err, time.Since(begin))
				}
				time.Sleep(10 * time.Second)
				before, _ := s.counts()
				r.Lookup(t.Context(), mathTCP)
				after, _ := s.counts()
				for i := range after {
					if tt.again != nil && after[i]-before[i] != tt.again[i] {
						t.Errorf("server %d: %d questions, want %d", i, after[i]-before[i], tt.again[i])
					}
				}
			})
		})
	}
}

func TestAMarkedNXDOMAINIsTheLastChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newStaleNet(t, 3, true)
		s.push[0].stale, s.push[0].records = true, map[string][]dns.RR{}
		if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// TestAStaleServerDoesNotContradict: a server that is not says that the set has shrunk.
func TestAStaleServerDoesNotContradict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newStaleNet(t, 2, true)
		r.NoPush = true
		s.change(t, 10, 0, 1)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		s.become(1, true)
		s.change(t, 2, 0)
		time.Sleep(time.Minute)
		if got := w.last(); len(got.Endpoints) != 2 {
			t.Errorf("%d endpoints, want 2", len(got.Endpoints))
		}
	})
}

// TestAStaleSessionIsLeft for a server that is not stale, whether the answers of the stale one
// are marked or only its session is. When it recovers, nothing moves.
func TestAStaleSessionIsLeft(t *testing.T) {
	for _, marked := range []bool{true, false} {
		t.Run(fmt.Sprint("marked ", marked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newStaleNet(t, 3, marked)
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Hour)
				if got := r.Freshness(mathTCP); got.By != "push" || got.Server != "ns1:53" {
					t.Fatalf("%+v", got)
				}
				s.become(0, true)
				s.change(t, 3, 1, 2)
				time.Sleep(lostSpread + time.Millisecond)
				if got := r.Freshness(mathTCP); got.By != "push" || got.Server != "ns2:53" || len(w.last().Endpoints) != 3 {
					t.Errorf("%+v, %d endpoints", got, len(w.last().Endpoints))
				}
				s.change(t, 4, 1, 2)
				synctest.Wait()
				if n := len(w.last().Endpoints); n != 4 {
					t.Errorf("%d endpoints, want 4", n)
				}
				before, _ := s.counts()
				s.become(0, false)
				time.Sleep(time.Hour)
				if after, sessions := s.counts(); sessions != 2 || !slices.Equal(before, after) || s.push[0].open() != 0 {
					t.Errorf("%d sessions, questions %v, and then %v", sessions, before, after)
				}
			})
		})
	}
}

// TestAllServersAreStale: the sets of the session stay, sessions do not move more often than
// once in staleAlone, and the others are asked once in a TTL. The first server that recovers
// is followed.
func TestAllServersAreStale(t *testing.T) {
	for _, marked := range []bool{true, false} {
		t.Run(fmt.Sprint("marked ", marked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newStaleNet(t, 3, marked)
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Hour)
				for i := range 3 {
					s.become(i, true)
				}
				const minutes = 10
				before, begun := s.counts()
				for range minutes {
					time.Sleep(time.Minute)
					r.Refresh(mathTCP)
				}
				after, sessions := s.counts()
				most, moves := 3*(minutes*15+1)+seriesSize*minutes, 0
				if !marked {
					moves = 3 * minutes // such servers are not ours
				}
				if n := sum(after) - sum(before); n > most || sessions-begun > moves {
					t.Errorf("%d questions, at most %d; %d sessions, at most %d", n, most, sessions-begun, moves)
				}
				if n := len(w.seen()); n != 1 {
					t.Errorf("%d states", n)
				}
				s.become(2, false)
				s.change(t, 3, 2)
				time.Sleep(2*staleAlone + 10*time.Second)
				if got := r.Freshness(mathTCP); marked && (got.By != "push" || got.Server != "ns3:53" || len(w.last().Endpoints) != 3) {
					t.Errorf("%+v, %d endpoints", got, len(w.last().Endpoints))
				}
			})
		})
	}
}

// TestANameIsFollowedWhereTheAnswerIsGood from the beginning: the first server is stale.
func TestANameIsFollowedWhereTheAnswerIsGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newStaleNet(t, 3, true)
		s.become(0, true)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		questions, sessions := s.counts()
		if got := r.Freshness(mathTCP); got.By != "push" || got.Server != "ns2:53" || sessions != 1 || !slices.Equal(questions, []int{1, 1, 0}) {
			t.Errorf("%+v, %d sessions, questions %v", got, sessions, questions)
		}
	})
}

// TestHintsDoNotAskAllStaleServers: the others are asked once in a TTL, however often the first
// is.
func TestHintsDoNotAskAllStaleServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newStaleNet(t, 3, true)
		r.NoPush = true
		for i := range 3 {
			s.become(i, true)
		}
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Second)
		r.Refresh(mathTCP)
		time.Sleep(seriesSpan + time.Millisecond)
		if questions, _ := s.counts(); !slices.Equal(questions, []int{1 + seriesSize, 1, 1}) {
			t.Errorf("questions: %v", questions)
		}
	})
}
