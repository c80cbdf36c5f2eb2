package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// TestAChangeIsSeenAtOnce, and while the server tells about changes it is asked nothing.
func TestAChangeIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 3)
		w := watch(t, r, mathTCP)
		defer w.close()
		for _, n := range []int{4, 5, 1, 0, 2} { // each is believed as it is
			time.Sleep(time.Hour)
			p.become(mathTCP, instances(t, n)...)
			synctest.Wait()
			if got := w.last(); len(got.Endpoints) != n || got.Trust != Confirmed || (got.Err == nil) != (n > 0) {
				t.Errorf("%d endpoints, %v, %v at the moment when there are %d", len(got.Endpoints), got.Trust, got.Err, n)
			}
		}
		if n := len(w.seen()); n != 6 {
			t.Errorf("%d states, want 6", n)
		}
		if n := len(s.asked("SRV")); n != 1 {
			t.Errorf("%d questions, want 1", n)
		}
		if got := r.Freshness(mathTCP); got.By != "push" || got.Server != "ns1:53" || got.Revision != 6 || time.Since(got.Since) < 4*time.Hour {
			t.Errorf("%+v", got)
		}
		if got, ok := r.Cached(mathTCP); !ok || time.Since(got.Confirmed) != 0 {
			t.Errorf("confirmed %v ago", time.Since(got.Confirmed))
		}
		if p.sessionsBegun() != 1 {
			t.Errorf("%d sessions", p.sessionsBegun())
		}
	})
}

// TestANameNeedNotExistToBeFollowed: it is seen at the moment when it appears. It is no news
// that the session tells what DNS has told.
func TestANameNeedNotExistToBeFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 0)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		if got := w.seen(); len(got) != 1 || !errors.Is(got[0].Err, ErrNoSuchName) {
			t.Errorf("%v", got)
		}
		p.become(mathTCP, instances(t, 1)...)
		synctest.Wait()
		if got := w.last(); len(got.Endpoints) != 1 {
			t.Errorf("%v", got)
		}
		if n := len(s.asked("SRV")); n != 1 {
			t.Errorf("%d questions, want 1", n)
		}
	})
}

// TestOneSessionForAllNames: it begins with the first Watch, and has ended when the last one
// returns. Others come and go in between.
func TestOneSessionForAllNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, r := following(t, 1)
		a := watch(t, r, mathTCP)
		synctest.Wait()
		if got := p.notes(); got != "keepalive, follow "+mathTCP {
			t.Error(got)
		}
		b := watch(t, r, "_b._tcp.svc")
		again := watch(t, r, mathTCP)
		synctest.Wait()
		if got := p.notes(); got != "follow _b._tcp.svc." {
			t.Error(got)
		}
		a.close()
		b.close()
		synctest.Wait()
		if got := p.notes(); got != "unfollow _b._tcp.svc." {
			t.Error(got)
		}
		b = watch(t, r, "_b._tcp.svc")
		synctest.Wait()
		if got := p.notes(); got != "follow _b._tcp.svc." || p.open() != 1 || p.sessionsBegun() != 1 {
			t.Errorf("%s; %d sessions", got, p.sessionsBegun())
		}
		again.close()
		b.close()
		r.mu.Lock()
		if got := r.pushServers["ns1:53"].session; got != nil {
			t.Error("the session outlives the last Watch")
		}
		r.mu.Unlock()
		synctest.Wait()
		if p.open() != 0 {
			t.Error("the session outlives the last Watch, as the server sees it")
		}
		time.Sleep(time.Hour)
		if p.sessionsBegun() != 1 {
			t.Error("a session was begun without a Watch")
		}
		if got := r.Freshness(mathTCP); got != (Freshness{}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestALookupOfAWatchedNameUsesWhatWasTold, and after the last Watch what was told is in the
// cache for a TTL.
func TestALookupOfAWatchedNameUsesWhatWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 1)
		w := watch(t, r, mathTCP)
		time.Sleep(time.Hour)
		p.become(mathTCP, instances(t, 3)...)
		synctest.Wait()
		if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 3 || time.Since(got.Confirmed) != 0 {
			t.Errorf("%v, %v", got, err)
		}
		time.Sleep(time.Hour)
		w.close()
		time.Sleep(4 * time.Second)
		r.Lookup(t.Context(), mathTCP)
		if n := len(s.asked("SRV")); n != 1 {
			t.Errorf("%d questions, want 1", n)
		}
		time.Sleep(2 * time.Second)
		r.Lookup(t.Context(), mathTCP)
		if n := len(s.asked("SRV")); n != 2 {
			t.Errorf("%d questions a TTL after the Watch, want 2", n)
		}
	})
}

// TestWithoutPushTheTTLRules: by NoPush there is no connection.
func TestWithoutPushTheTTLRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 1)
		r.NoPush = true
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		if n := len(s.asked("SRV")); n < 12 || p.sessionsBegun() != 0 {
			t.Errorf("%d questions, %d sessions", n, p.sessionsBegun())
		}
		if got := r.Freshness(mathTCP); got != (Freshness{By: "ttl", Server: "ns1:53"}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestAStaleServerIsAskedByTTL: it says that it cannot learn of changes.
func TestAStaleServerIsAskedByTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		become := func(stale bool) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.stale = stale
			p.setLocked(mathTCP, p.records[mathTCP])
		}
		become(true)
		synctest.Wait()
		before := len(s.asked("SRV"))
		if before != 1 {
			t.Errorf("%d questions at once, as all clients would ask", before-1)
		}
		time.Sleep(50 * time.Second)
		if n := len(s.asked("SRV")) - before; n < 10 || n > 13 {
			t.Errorf("%d questions in 50 s of TTL 5", n)
		}
		if got := r.Freshness(mathTCP); got.By != "ttl" {
			t.Errorf("%+v", got)
		}
		become(false)
		synctest.Wait()
		before = len(s.asked("SRV"))
		time.Sleep(time.Hour)
		if n := len(s.asked("SRV")) - before; n != 0 {
			t.Errorf("%d questions while the server tells about changes", n)
		}
		if n := len(w.seen()); n != 1 || p.sessionsBegun() != 1 {
			t.Errorf("%d states, %d sessions, want one", n, p.sessionsBegun())
		}
	})
}

// TestASuspendedMachineBeginsASessionAgain: the server has given the old one up.
func TestASuspendedMachineBeginsASessionAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var offset time.Duration
		p, s, r := following(t, 2)
		r.wall = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(offset)
		}
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		mu.Lock()
		offset = 8 * time.Hour
		mu.Unlock()
		time.Sleep(nap + lostSpread + 2*time.Second)
		if n := len(s.asked("SRV")); n < 2 || p.sessionsBegun() != 2 || p.open() != 1 {
			t.Errorf("%d questions, %d sessions", n, p.sessionsBegun())
		}
		before := len(s.asked("SRV"))
		time.Sleep(time.Hour)
		if n := len(s.asked("SRV")); n != before {
			t.Errorf("%d questions after that", n-before)
		}
	})
}

// TestEndpointsLiveOnAfterALongSession: the server dies after hours without a change. It has
// vouched for the endpoints until then.
func TestEndpointsLiveOnAfterALongSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(9 * time.Hour)
		s.become(silence)
		s.fault("tcp", errors.New("dead"))
		p.cut()
		time.Sleep(50 * time.Minute)
		if got := w.last(); len(got.Endpoints) != 2 || got.Trust != Stale {
			t.Errorf("%v %v", addrs(got), got.Trust)
		}
		time.Sleep(20 * time.Minute)
		if got := w.last(); len(got.Endpoints) != 0 || got.Trust != Unanswered {
			t.Errorf("%v %v after StaleFor", addrs(got), got.Trust)
		}
	})
}

// TestARefusedNameIsLeftAlone: for the time that the server says, or that its RCODE means.
// The other names are followed.
func TestARefusedNameIsLeftAlone(t *testing.T) {
	for _, tt := range []struct {
		rcode int
		tlvs  []dso.TLV
		alone time.Duration
	}{
		{dns.RcodeNotAuth, nil, 5 * time.Minute},
		{dns.RcodeRefused, []dso.TLV{dso.RetryDelay(time.Minute)}, time.Minute},
		{dns.RcodeServerFailure, []dso.TLV{dso.RetryDelay(time.Second)}, time.Second},
		{dns.RcodeServerFailure, []dso.TLV{dso.RetryDelay(time.Millisecond)}, leastDelay},
		{dns.RcodeServerFailure, nil, time.Minute},
	} {
		t.Run(fmt.Sprint(dns.RcodeToString[tt.rcode], " ", tt.alone), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 2)
				var at []time.Time
				p.refuse = func(name string) (int, []dso.TLV) {
					if name != mathTCP {
						return dns.RcodeSuccess, nil
					}
					at = append(at, time.Now())
					return tt.rcode, tt.tlvs
				}
				other := watch(t, r, "_other._tcp.svc")
				defer other.close()
				synctest.Wait()
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(5*tt.alone + time.Second)
				synctest.Wait()
				if n := len(s.asked("SRV")); n < int(5*tt.alone/(5*time.Second)) {
					t.Errorf("%d questions in %v", n, 5*tt.alone)
				}
				p.mu.Lock()
				defer p.mu.Unlock()
				if len(at) < 5 || len(at) > 7 {
					t.Errorf("asked to tell %d times", len(at))
				}
				for i := 1; i < len(at); i++ {
					if pause := at[i].Sub(at[i-1]); pause < tt.alone || pause > tt.alone+time.Second {
						t.Errorf("asked to tell again after %v, want %v", pause, tt.alone)
					}
				}
				if len(p.begun) != 1 {
					t.Errorf("%d sessions", len(p.begun))
				}
			})
		})
	}
}

// TestASetThatIsTooLargeIsLeftToItsTTL: the client holds no more than its bound.
func TestASetThatIsTooLargeIsLeftToItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 40)
		r.MaxEndpoints = 2
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		if got := w.last(); len(got.Endpoints) != 2 || len(s.asked("SRV")) < 10 {
			t.Errorf("%d endpoints, %d questions", len(got.Endpoints), len(s.asked("SRV")))
		}
		// The session ends after the UNFOLLOW, which the server may have read by then.
		if got := strings.TrimSuffix(p.notes(), ", unfollow "+mathTCP); got != "keepalive, follow "+mathTCP {
			t.Error(got)
		}
		p.become(mathTCP, instances(t, 3)...)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := r.Freshness(mathTCP); got.By != "push" {
			t.Errorf("%+v after an hour", got)
		}
		if got := w.last(); len(got.Endpoints) != 2 {
			t.Errorf("%d endpoints, MaxEndpoints is 2", len(got.Endpoints))
		}
	})
}

// TestASetOfManyMessagesIsOneState.
func TestASetOfManyMessagesIsOneState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, r := following(t, 1)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Second)
		p.become(mathTCP, instances(t, 1900)...)
		synctest.Wait()
		var sizes []int
		for _, st := range w.seen() {
			sizes = append(sizes, len(st.Endpoints))
		}
		if !slices.Equal(sizes, []int{1, 1900}) {
			t.Errorf("%v", sizes)
		}
	})
}

// TestAgainIsWhenANameIsFollowed: Freshness tells what followLocked does next, whatever is
// known of the server that answers and of the one that the zone names.
func TestAgainIsWhenANameIsFollowed(t *testing.T) {
	pauses := []time.Duration{0, 10 * time.Second, 50 * time.Second}
	for what, own := range map[string]pushServer{
		"had a session": {known: true, losses: findAfter},
		"knows no DSO":  {unable: true, losses: 1},
		"is lost":       {losses: findAfter},
		"was lost once": {losses: 1},
	} {
		for _, pause := range pauses {
			for _, refusal := range pauses {
				for _, other := range append(pauses, never) { // never: the zone names none
					synctest.Test(t, func(t *testing.T) {
						r := &Resolver{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }}
						r.mu.Lock()
						now := time.Now()
						s := r.pushServerLocked("ns1:53", nil)
						s.known, s.unable, s.losses, s.until = own.known, own.unable, own.losses, now.Add(pause)
						e := r.entryLocked(mathTCP)
						e.watchers = 1
						e.push = pushState{server: "ns1:53", refusedBy: s, refused: now.Add(refusal), find: now.Add(findAgain)}
						if other != never {
							found := r.pushServerLocked("push:853", nil)
							found.until = now.Add(other)
							e.push.zone = &pushZone{next: now.Add(findAgain), servers: []*pushServer{found}}
						}
						again, wait := r.againLocked(&e.push), r.followLocked(t.Context(), e)
						follows := e.push.follow != nil
						r.mu.Unlock()
						if follows != again.IsZero() || !follows && !again.Equal(now.Add(wait)) {
							t.Errorf("a server that %s, for %v, has refused for %v, and one that was found, for %v: follows %t, waits %v, says %v",
								what, pause, refusal, other, follows, wait, again.Sub(now))
						}
						synctest.Wait()
					})
				}
			}
		}
	}
}
