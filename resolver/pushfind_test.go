package resolver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// certificateFor makes a certificate for a name, and the roots that accept it.
func certificateFor(t testing.TB, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(1000 * time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// TestAServerOfPushIsDiscovered: the server of the Resolver is a recursive one, which does not
// know DSO. The zone names the server that tells about changes, over TLS, and a change is
// seen at once. Without the right certificate nothing is believed.
func TestAServerOfPushIsDiscovered(t *testing.T) {
	for name, certified := range map[string]string{"its certificate": "push.svc", "a certificate of another": "other.svc"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cert, roots := certificateFor(t, certified)
				p := newPush()
				p.records[mathTCP] = instances(t, 2)
				p.records["push"] = rrs(t, pushService+"svc. 60 IN SRV 0 0 853 push.svc.", "push.svc. 60 IN A 10.9.9.9",
					"push.svc. 60 IN AAAA 2001:db8::9") // where nothing listens
				recursor := newServer(p.handler(t))
				recursor.discovered = true
				server := newServer(silence)
				server.push = p
				n := fakeNet{"ns1:53": recursor, "10.9.9.9:853": server}
				r := n.client("ns1")
				r.PushTLS = &tls.Config{RootCAs: roots}
				inner := r.Dial
				var tlsDials atomic.Int32
				r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if addr != "10.9.9.9:853" {
						return inner(ctx, network, addr)
					}
					tlsDials.Add(1)
					client, raw := net.Pipe()
					go func() {
						conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
						defer conn.Close()
						server.serveStream(conn)
					}()
					return client, nil
				}
				a, b := watch(t, r, mathTCP), watch(t, r, "_b._tcp.svc")
				time.Sleep(30 * time.Second)
				if certified != "push.svc" {
					before := len(recursor.asked("SRV"))
					time.Sleep(50 * time.Minute)
					if tlsDials.Load() != 1 || p.sessionsBegun() != 0 || r.Freshness(mathTCP).By != "ttl" || len(recursor.asked("SRV"))-before < 600 {
						t.Errorf("%d connections, %d sessions, %+v", tlsDials.Load(), p.sessionsBegun(), r.Freshness(mathTCP))
					}
					a.close()
					b.close()
					return
				}
				if got := r.Freshness(mathTCP); got.By != "push" || got.Server != "10.9.9.9:853" {
					t.Errorf("%+v", got)
				}
				p.become(mathTCP, instances(t, 3)...)
				synctest.Wait()
				if got := a.last(); len(got.Endpoints) != 3 {
					t.Errorf("%v", addrs(got))
				}
				before := len(recursor.asked("SRV"))
				time.Sleep(10 * time.Hour)
				if n := len(recursor.asked("SRV")) - before; n != 0 {
					t.Errorf("%d questions while the server tells about changes", n)
				}
				recursor.become(service(t, 1))
				p.notes()
				r.Refresh(mathTCP) // the recursive server has caches, and proves nothing
				time.Sleep(time.Second)
				if got := a.last(); len(got.Endpoints) != 3 || len(recursor.asked("SRV")) != before || !strings.Contains(p.notes(), "keepalive") {
					t.Errorf("%v after %d questions", addrs(got), len(recursor.asked("SRV"))-before)
				}
				if p.sessionsBegun() != 1 {
					t.Errorf("%d sessions", p.sessionsBegun())
				}
				a.close()
				b.close()
			})
		})
	}
}

// TestALostQuestionCostsNoHourOfPush: what looks for servers of push is asked again sooner if
// it had no answer.
func TestALostQuestionCostsNoHourOfPush(t *testing.T) {
	for _, lost := range []string{"", pushService} {
		synctest.Test(t, func(t *testing.T) {
			p, begin := newPush(), time.Now()
			answer := p.handler(t)
			s, r := one(func(network string, q *dns.Msg) [][]byte {
				asked := q.Question[0]
				looks := asked.Qtype == dns.TypeSOA || strings.HasPrefix(asked.Name, pushService)
				if looks && strings.HasPrefix(asked.Name, lost) && time.Since(begin) < 10*time.Minute {
					return nil
				}
				return answer(network, q)
			})
			s.discovered = true
			w := watch(t, r, mathTCP)
			time.Sleep(10*time.Minute + findSoon + time.Minute)
			w.close()
			found := slices.ContainsFunc(s.asked("SRV"), func(q asked) bool {
				return strings.HasPrefix(q.name, pushService) && q.at.Sub(begin) > 10*time.Minute
			})
			if n := len(s.asked("SOA")); !found || n > 30 {
				t.Errorf("%q was lost: found %t, after %d questions", lost, found, n)
			}
		})
	}
}

// TestDiscoveryAsksSeldom: two questions an hour for a zone without a server of push, and one
// for each further name in it.
func TestDiscoveryAsksSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPush()
		s, r := one(p.handler(t))
		s.discovered = true
		a, b := watch(t, r, mathTCP), watch(t, r, "_b._tcp.svc")
		time.Sleep(5*time.Hour - time.Minute)
		a.close()
		b.close()
		found := 0
		for _, q := range s.asked("SRV") {
			if q.name == pushService+"svc." {
				found++
			}
		}
		if n := len(s.asked(dns.TypeToString[dns.TypeSOA])); n != 10 || found != 5 {
			t.Errorf("%d and %d questions in five hours for two names, want 10 and 5", n, found)
		}
	})
}

// TestAWatchThatEndsEarlyCostsNoDiscovery: the question for servers of push was under way. The
// next Watch looks for them at once.
func TestAWatchThatEndsEarlyCostsNoDiscovery(t *testing.T) {
	for _, slow := range []string{mathTCP, pushService + "svc."} {
		synctest.Test(t, func(t *testing.T) {
			p := newPush()
			answer := p.handler(t)
			s, r := one(func(network string, q *dns.Msg) [][]byte {
				asked := q.Question[0]
				if asked.Name == slow && (asked.Qtype == dns.TypeSOA || slow != mathTCP) {
					time.Sleep(100 * time.Millisecond)
				}
				return answer(network, q)
			})
			s.discovered = true
			count := func() (soa, srv int) {
				for _, q := range s.asked("SRV") {
					if q.name == pushService+"svc." {
						srv++
					}
				}
				return len(s.asked("SOA")), srv
			}
			w := watch(t, r, mathTCP)
			for range 10_000 {
				if soa, srv := count(); slow == mathTCP && soa > 0 || srv > 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			w.close()
			time.Sleep(ended)
			before, beforeSRV := count()
			w = watch(t, r, mathTCP)
			time.Sleep(findSoon / 3) // sooner than after a question that was lost
			w.close()
			time.Sleep(ended)
			soa, srv := count()
			again := 1 // what was answered is not asked for again
			if slow == mathTCP {
				again = 2
			}
			if before != 1 || soa != again || slow != mathTCP && beforeSRV != 1 || srv != beforeSRV+1 {
				t.Errorf("%s is slow: asked %d and %d times, then %d and %d", slow, before, beforeSRV, soa, srv)
			}
		})
	}
}

// TestAnotherNameOfAZoneFindsItsServers: the name that asked for the servers of the zone is not
// watched any more when the answer comes. Another name of the zone asks soon, and all of them
// ask no more than one would.
func TestAnotherNameOfAZoneFindsItsServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPush()
		p.records["push"] = rrs(t, pushService+"svc. 60 IN SRV 0 0 853 push.svc.", "push.svc. 60 IN A 10.9.9.9")
		answer := p.handler(t)
		var slow atomic.Bool
		slow.Store(true)
		s, r := one(func(network string, q *dns.Msg) [][]byte {
			if slow.Load() && q.Question[0].Name == pushService+"svc." {
				time.Sleep(300 * time.Millisecond)
			}
			return answer(network, q)
		})
		s.discovered = true
		asked := func() (n int) {
			for _, q := range s.asked("SRV") {
				if q.name == pushService+"svc." {
					n++
				}
			}
			return n
		}
		first := watch(t, r, mathTCP)
		for asked() == 0 {
			time.Sleep(time.Millisecond)
		}
		var others []*watcher
		for _, name := range []string{"_b._tcp.svc", "_c._tcp.svc", "_d._tcp.svc"} {
			others = append(others, watch(t, r, name))
		}
		time.Sleep(100 * time.Millisecond) // they know the zone, and that it was asked
		if n := asked(); n != 1 {
			t.Fatalf("%d questions for the servers of one zone", n)
		}
		first.close()
		slow.Store(false)
		time.Sleep(nap + time.Second)
		found := 0
		r.mu.Lock()
		for _, e := range r.names {
			if len(e.push.discovered()) > 0 {
				found++
			}
		}
		r.mu.Unlock()
		if n := asked(); found < len(others) || n != 2 {
			t.Errorf("%d of %d names have found the servers %v later, after %d questions", found, len(others), nap, n)
		}
		time.Sleep(50 * time.Minute)
		if n := asked(); n != 2 {
			t.Errorf("%d questions in an hour", n)
		}
		for _, w := range others {
			w.close()
		}
		time.Sleep(ended)
	})
}

// TestAnUnreadableResolvConfCostsNoHourOfPush: where the servers are not known for a moment,
// those of push are looked for again soon.
func TestAnUnreadableResolvConfCostsNoHourOfPush(t *testing.T) {
	for name, looks := range map[string]func(ctx context.Context, r *Resolver, e *entry) time.Time{
		"in which zone the name is": func(ctx context.Context, r *Resolver, e *entry) time.Time {
			r.find(ctx, e)
			return e.push.find
		},
		"which servers the zone names": func(ctx context.Context, r *Resolver, e *entry) time.Time {
			e.push.zone = &pushZone{name: "svc.", next: time.Now().Add(findAgain)}
			r.findIn(ctx, e, e.push.zone)
			return e.push.zone.next
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(envServers, "")
			synctest.Test(t, func(t *testing.T) {
				r := new(Resolver)
				r.system.path = t.TempDir() // it cannot be read as a file
				e := r.entryLocked(mathTCP)
				e.push.find = time.Now().Add(findAgain) // as findLocked does before it asks
				if in := time.Until(looks(t.Context(), r, e)); in < findSoon/2 || in > findSoon {
					t.Errorf("looks again in %v", in)
				}
			})
		})
	}
}

// TestAllNamesOfAZoneAreFollowedAtOnce when the servers of the zone are found, whichever name
// has asked for them.
func TestAllNamesOfAZoneAreFollowedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPush()
		p.records["push"] = rrs(t, pushService+"svc. 60 IN SRV 0 0 853 push.svc.", "push.svc. 60 IN A 10.9.9.9")
		answer := p.handler(t)
		s, r := one(func(network string, q *dns.Msg) [][]byte {
			if q.Question[0].Name == pushService+"svc." {
				time.Sleep(300 * time.Millisecond)
			}
			return answer(network, q)
		})
		s.discovered = true
		inner, dialled := r.Dial, make(chan struct{}, 1)
		r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "10.9.9.9:853" {
				return inner(ctx, network, addr)
			}
			dialled <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		names := []string{mathTCP, "_b._tcp.svc", "_c._tcp.svc", "_d._tcp.svc"}
		var watches []*watcher
		for _, name := range names {
			watches = append(watches, watch(t, r, name))
		}
		<-dialled
		synctest.Wait() // no time passes
		r.mu.Lock()
		for _, e := range r.names {
			if e.push.follow == nil {
				t.Errorf("%s is not followed yet", e.name)
			}
		}
		if len(r.names) != len(names) {
			t.Errorf("%d names", len(r.names))
		}
		r.mu.Unlock()
		for _, w := range watches {
			w.close()
		}
		time.Sleep(ended)
	})
}

// TestDNSAloneNamesNoServerOutsideOfItsZone: anyone gets a public certificate for a host of his
// own, and may forge the name of that host in DNS.
func TestDNSAloneNamesNoServerOutsideOfItsZone(t *testing.T) {
	eps := []Endpoint{{Target: "push.evil.example.", Addr: "10.6.6.6:853"}, {Target: "Push.svc.example.", Addr: "10.9.9.9:853"}}
	for name, c := range map[string]struct {
		config *tls.Config
		want   int
	}{
		"nil":                 {nil, 1},
		"without authority":   {&tls.Config{MinVersion: tls.VersionTLS13}, 1},
		"an own authority":    {&tls.Config{RootCAs: x509.NewCertPool()}, 2},
		"a name":              {&tls.Config{ServerName: "push.example"}, 2},
		"what checks nothing": {&tls.Config{InsecureSkipVerify: true}, 2},
	} {
		r := &Resolver{PushTLS: c.config}
		got := r.discovered("svc.example.", eps)
		if len(got) != c.want || c.want == 1 && got[0].address != "10.9.9.9:853" {
			t.Errorf("%s: %d servers", name, len(got))
		}
	}
}
