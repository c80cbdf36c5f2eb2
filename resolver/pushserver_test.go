package resolver

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// counted counts the TCP connections of a Resolver.
func counted(r *Resolver) func() []time.Time {
	var mu sync.Mutex
	var at []time.Time
	dial := r.Dial
	r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if network == "tcp" {
			mu.Lock()
			at = append(at, time.Now())
			mu.Unlock()
		}
		return dial(ctx, network, addr)
	}
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(at)
	}
}

// TestAServerThatDoesNotKnowDSO costs one TCP connection an hour. Its names are asked for by
// their TTL as without it.
func TestAServerThatDoesNotKnowDSO(t *testing.T) {
	header := func(id uint16, rcode int) []byte { return dso.AppendResponse(nil, id, rcode) }
	for _, tt := range []struct {
		name  string
		hello func(id uint16) [][]byte
	}{
		{"NOTIMP", func(id uint16) [][]byte { return [][]byte{header(id, dns.RcodeNotImplemented)} }},
		{"FORMERR", func(id uint16) [][]byte { return [][]byte{header(id, dns.RcodeFormatError)} }},
		{"REFUSED", func(id uint16) [][]byte { return [][]byte{header(id, dns.RcodeRefused)} }},
		{"DSOTYPENI", func(id uint16) [][]byte { return [][]byte{header(id, dns.RcodeStatefulTypeNotImplemented)} }},
		{"FORMERR with a question", func(id uint16) [][]byte {
			m := new(dns.Msg).SetRcode(new(dns.Msg).SetQuestion(".", dns.TypeSOA), dns.RcodeFormatError)
			m.Id, m.Opcode = id, dns.OpcodeStateful
			b := pack(m)[0]
			return [][]byte{append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)}
		}},
		{"another id", func(id uint16) [][]byte { return [][]byte{header(id+1, dns.RcodeSuccess)} }},
		{"no times", func(id uint16) [][]byte { return [][]byte{header(id, dns.RcodeSuccess)} }},
		{"no DNS", func(uint16) [][]byte { return [][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 2)
				p.hello = tt.hello
				dials := counted(r)
				w := watch(t, r, mathTCP)
				const hours = 5
				time.Sleep(hours * time.Hour)
				w.close()
				at := dials()
				if len(at) < hours || len(at) > hours+1 {
					t.Errorf("%d connections in %d hours", len(at), hours)
				}
				for i := 1; i < len(at); i++ {
					if pause := at[i].Sub(at[i-1]); pause < time.Hour || pause > time.Hour+10*time.Second {
						t.Errorf("connected again after %v", pause)
					}
				}
				all := gaps(s.asked("SRV"))
				if low, high := slices.Min(all), slices.Max(all); low < 4*time.Second || high > 5*time.Second {
					t.Errorf("asked again after %v to %v, want 80 to 100 %% of 5 s", low, high)
				}
				if n := len(w.seen()); n != 1 {
					t.Errorf("%d states", n)
				}
			})
		})
	}
}

// TestAServerThatDoesNotAnswer may be busy, or something between may be: it is tried again
// soon, and ever more seldom, up to an hour, and gets a session when it answers. Its names are
// asked for by their TTL.
func TestAServerThatDoesNotAnswer(t *testing.T) {
	for name, hello := range map[string]func(id uint16) [][]byte{
		"silent":              func(uint16) [][]byte { return nil },
		"a part of a message": func(uint16) [][]byte { return [][]byte{{0, 12, 0}} },
		"closes at once":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 2)
				p.hello = hello
				if hello == nil {
					p.hello = func(uint16) [][]byte { panic("not reached") }
					p.shut = true
				}
				dials := counted(r)
				w := watch(t, r, mathTCP)
				defer w.close()
				const hours = 3
				time.Sleep(hours * time.Hour)
				at := dials()
				soon := slices.IndexFunc(at, func(d time.Time) bool { return d.Sub(at[0]) > time.Minute })
				if len(at) > 14+2*hours || soon < 4 {
					t.Errorf("%d connections in %d hours, %d in the first minute", len(at), hours, soon)
				}
				all := gaps(s.asked("SRV"))
				if low, high := slices.Min(all), slices.Max(all); low < 4*time.Second || high > 5*time.Second {
					t.Errorf("asked again after %v to %v, want 80 to 100 %% of 5 s", low, high)
				}
				p.mu.Lock()
				p.hello, p.shut = nil, false
				p.mu.Unlock()
				time.Sleep(unsupportedFor + 10*time.Second)
				if n := len(w.seen()); n != 1 || r.Freshness(mathTCP).By != "push" {
					t.Errorf("%d states, %+v", n, r.Freshness(mathTCP))
				}
			})
		})
	}
}

// TestASessionMayBeRefusedForATime, before there is one.
func TestASessionMayBeRefusedForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, r := following(t, 2)
		p.hello = func(id uint16) [][]byte {
			return [][]byte{dso.AppendResponse(nil, id, dns.RcodeRefused, dso.RetryDelay(5*time.Minute))}
		}
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(16 * time.Minute)
		if n := p.sessionsBegun(); n != 4 {
			t.Errorf("%d sessions in 16 minutes, want 4", n)
		}
	})
}

// TestARefusalForWeeksCountsAnHour, of a session or of a name. A session that the server ends
// for weeks is not begun again, and the log has a warning.
func TestARefusalForWeeksCountsAnHour(t *testing.T) {
	const weeks = 7 * 7 * 24 * time.Hour
	for name, tt := range map[string]struct {
		end   func(p *fakePush) // begins to refuse
		after time.Duration     // until the next session
		warns int
	}{
		"a name": {func(p *fakePush) {
			p.refuse = func(string) (int, []dso.TLV) { return dns.RcodeRefused, []dso.TLV{dso.RetryDelay(weeks)} }
		}, time.Hour, 0},
		"a session, before it begins": {func(p *fakePush) {
			p.hello = func(id uint16) [][]byte {
				return [][]byte{dso.AppendResponse(nil, id, dns.RcodeRefused, dso.RetryDelay(weeks))}
			}
		}, time.Hour, 0},
		"a session, as it ends": {func(p *fakePush) {
			p.greet = func(uint16, string) [][]byte {
				return [][]byte{dso.AppendRetryDelay(nil, dns.RcodeNotAuth, weeks)}
			}
		}, weeks, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _, r := following(t, 2)
				var log strings.Builder
				var mu sync.Mutex
				r.Logger = slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))
				tt.end(p)
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Minute)
				p.mu.Lock()
				p.refuse, p.hello, p.greet = nil, nil, nil
				p.mu.Unlock()
				time.Sleep(min(tt.after, 2*time.Hour) - 2*time.Minute)
				if n := p.sessionsBegun(); n != 1 {
					t.Errorf("%d sessions, want one until %v are over", n, tt.after)
				}
				time.Sleep(3 * time.Minute)
				if followed := r.Freshness(mathTCP).By == "push"; followed != (tt.after == time.Hour) {
					t.Errorf("%+v", r.Freshness(mathTCP))
				}
				mu.Lock()
				defer mu.Unlock()
				if n := strings.Count(log.String(), "level=WARN"); n != tt.warns {
					t.Errorf("%d warnings:\n%s", n, log.String())
				}
			})
		})
	}
}

// TestFreshnessTellsWhenPushIsTriedAgain: of a server that does not know DSO, of one that was
// lost, and of one that tells about changes.
func TestFreshnessTellsWhenPushIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		again := func() (string, time.Duration) {
			f := r.Freshness(mathTCP)
			if f.Again.IsZero() {
				return f.By, 0
			}
			return f.By, time.Until(f.Again)
		}
		p.hello = func(id uint16) [][]byte {
			return [][]byte{dso.AppendResponse(nil, id, dns.RcodeNotImplemented)}
		}
		w := watch(t, r, mathTCP)
		time.Sleep(time.Minute)
		if by, in := again(); by != "ttl" || in != unsupportedFor-time.Minute {
			t.Errorf("of a server without DSO: %s, again in %v", by, in)
		}
		p.mu.Lock()
		p.hello = nil
		p.mu.Unlock()
		time.Sleep(unsupportedFor)
		if by, in := again(); by != "push" || in != 0 {
			t.Errorf("of a server that tells: %s, again in %v", by, in)
		}
		s.fault("tcp", syscall.ECONNREFUSED)
		p.cut()
		time.Sleep(time.Minute)
		if by, in := again(); by != "ttl" || in <= 0 || in > maxPushBackoff {
			t.Errorf("of a server that takes no connections: %s, again in %v", by, in)
		}
		w.close()
		if f := r.Freshness(mathTCP); f != (Freshness{}) {
			t.Errorf("without a Watch: %+v", f)
		}
	})
}

// TestAServerThatRefusesAgainAndAgain costs a connection a minute, however short the time is
// that it says, and has a session when it does not refuse any more.
func TestAServerThatRefusesAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, r := following(t, 2)
		refuse := true
		p.refuse = func(string) (int, []dso.TLV) {
			if refuse {
				return dns.RcodeServerFailure, []dso.TLV{dso.RetryDelay(time.Second)}
			}
			return dns.RcodeSuccess, nil
		}
		dials := counted(r)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(5500 * time.Millisecond)
		if n := len(dials()); n < 5 {
			t.Errorf("%d connections in 5 s: the server is not taken at its word", n)
		}
		time.Sleep(time.Hour)
		if n := len(dials()); n < 60 || n > 140 {
			t.Errorf("%d connections in an hour to a server that refuses for a second", n)
		}
		p.mu.Lock()
		refuse = false
		p.mu.Unlock()
		time.Sleep(maxPushBackoff + nap)
		if r.Freshness(mathTCP).By != "push" {
			t.Error("no session when it does not refuse")
		}
	})
}

// TestAServerThatBreaksTheProtocolIsLeftAlone for an hour, with one line in the log.
func TestAServerThatBreaksTheProtocolIsLeftAlone(t *testing.T) {
	set := func(records ...string) [][]byte { return setFrames(2, dso.Whole, 1, rrs(t, records...), nil) }
	for _, tt := range []struct {
		name   string
		frames [][]byte
	}{
		{"a PUSH", [][]byte{func() []byte { f, _ := dso.Pushes(instances(t, 1), nil); return f[0] }()}},
		{"a response to nothing", [][]byte{dso.AppendResponse(nil, 99, dns.RcodeSuccess)}},
		{"a request", [][]byte{dso.AppendKeepAlive(nil, 9, dso.KeepAlive{Interval: time.Hour})}},
		{"a short interval", [][]byte{dso.AppendKeepAlive(nil, 0, dso.KeepAlive{Interval: time.Second})}},
		{"a FOLLOW", [][]byte{func() []byte { f, _ := dso.AppendFollow(nil, 0, mathTCP); return f }()}},
		{"no DSO", [][]byte{{0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}},
		{"a message that is too long", [][]byte{{0xff, 0xff}}},
		{"a set of another name", set("_b._tcp.svc. 5 IN SRV 0 0 80 a.svc.")},
		{"a removal of what is not there", setFrames(2, 0, 2, nil, rrs(t, mathTCP+" 5 IN SRV 0 0 80 x.svc."))},
		{"a set that ends in a record", [][]byte{func() []byte {
			f := setFrames(2, 0, 2, instances(t, 1), nil)[0]
			f = f[:len(f)-1]
			binary.BigEndian.PutUint16(f, uint16(len(f)-2))
			binary.BigEndian.PutUint16(f[16:], uint16(len(f)-18))
			return f
		}()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 2)
				var log strings.Builder
				var mu sync.Mutex
				r.Logger = slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))
				w := watch(t, r, mathTCP)
				defer w.close()
				for range 2 {
					time.Sleep(time.Minute)
					if p.open() != 1 {
						t.Fatal("no session")
					}
					p.send(tt.frames...)
					time.Sleep(time.Second)
					if p.open() != 0 {
						t.Fatal("the session has not ended")
					}
					before := len(s.asked("SRV"))
					time.Sleep(58 * time.Minute)
					if n := len(s.asked("SRV")) - before; n < 58*12 || p.open() != 0 {
						t.Errorf("%d questions, %d sessions", n, p.open())
					}
					time.Sleep(time.Minute)
				}
				mu.Lock()
				defer mu.Unlock()
				if n := strings.Count(log.String(), "level=WARN"); n != 1 {
					t.Errorf("%d warnings:\n%s", n, log.String())
				}
				if n := len(w.seen()); n != 1 {
					t.Errorf("%d states", n)
				}
			})
		})
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// TestTheServersRememberedAreBounded, and neither one with a session is forgotten, nor one that
// is left alone while there is room without it.
func TestTheServersRememberedAreBounded(t *testing.T) {
	var r Resolver
	busy, alone := r.pushServerLocked("busy:53", nil), r.pushServerLocked("alone:53", nil)
	busy.session = new(pushSession)
	alone.until = time.Now().Add(time.Hour)
	for i := range 10 * maxPushServers {
		r.pushServerLocked(fmt.Sprint(i), nil)
	}
	if len(r.pushServers) > maxPushServers || r.pushServers["busy:53"] != busy || r.pushServers["alone:53"] != alone {
		t.Errorf("%d servers, %v, %v", len(r.pushServers), r.pushServers["busy:53"], r.pushServers["alone:53"])
	}
	for i := range 2 * maxPushServers {
		r.pushServerLocked("alone"+fmt.Sprint(i), nil).until = alone.until
	}
	if len(r.pushServers) > maxPushServers || r.pushServers["busy:53"] != busy {
		t.Errorf("%d servers, %v", len(r.pushServers), r.pushServers["busy:53"])
	}
}

// TestManyZonesDoNotForgetAServer that is left alone: each zone names as many servers of push
// as are tried.
func TestManyZonesDoNotForgetAServer(t *testing.T) {
	var r Resolver
	recursor := r.pushServerLocked("ns1:53", nil)
	recursor.until = time.Now().Add(unsupportedFor)
	for zone := range maxPushZones {
		var eps []Endpoint
		for i := range maxFound {
			eps = append(eps, Endpoint{Addr: fmt.Sprintf("a%d.%d:853", zone, i), Alt: []string{fmt.Sprintf("b%d.%d:853", zone, i)}, Target: "push.svc."})
		}
		for _, s := range r.discovered("svc.", eps) {
			s.until = recursor.until
		}
	}
	if r.pushServers["ns1:53"] != recursor || len(r.pushServers) != 1+maxPushZones*maxFoundAddrs {
		t.Errorf("%d servers of %d zones, %v", len(r.pushServers), maxPushZones, r.pushServers["ns1:53"])
	}
}
