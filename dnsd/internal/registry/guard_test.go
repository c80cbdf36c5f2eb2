package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

const lease = 15 * time.Second

// keep renews ids every third of a lease for so long.
func keep(t *testing.T, r *registry.Registry, d time.Duration, ids ...string) {
	t.Helper()
	for range d / (lease / 3) {
		time.Sleep(lease / 3)
		renew(t, r, ids...)
	}
	synctest.Wait()
}

// fleet registers n instances a0, a1, ... and returns their ids.
func fleet(t *testing.T, r *registry.Registry, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, fmt.Sprintf("a%d", i))
		register(t, r, math(ids[i]))
	}
	return ids
}

// Of a service's silent instances, so many go in a lease without proof.
func TestGuardLetsThirtyPercentGo(t *testing.T) {
	for _, c := range []struct{ size, silent, gone int }{
		{1, 1, 0}, {2, 2, 0}, // below the guard's minimum: one more lease, as below
		{3, 1, 1}, {3, 2, 1}, {4, 3, 1}, {6, 5, 1}, {7, 6, 2}, {10, 9, 3}, {10, 2, 2}, {20, 19, 6},
	} {
		t.Run(fmt.Sprintf("%dOf%d", c.silent, c.size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := start(t, registry.Config{})
				in := math("other") // so that somebody is heard
				in.Service = "_text._tcp"
				register(t, r, in)
				ids := fleet(t, r, c.size)
				for range 4 {
					time.Sleep(lease / 3)
					renew(t, r, ids[c.silent:]...)
					if _, err := r.Renew(t.Context(), in.Key, 0); err != nil {
						t.Fatal(err)
					}
				}
				s := r.Stats()
				if gone := c.size + 1 - s.Instances; gone != c.gone || s.Suspect != c.silent-c.gone {
					t.Errorf("%d gone and %d suspects, want %d and %d", gone, s.Suspect, c.gone, c.silent-c.gone)
				}
				if c.size > 2 {
					return
				}
				for range 3 {
					time.Sleep(lease / 3)
					if _, err := r.Renew(t.Context(), in.Key, 0); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if s := r.Stats(); s.Instances != 1 {
					t.Errorf("after another lease: %+v, want only the other service", s)
				}
			})
		})
	}
}

func TestNothingExpiresWhileNobodyIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		ids := fleet(t, r, 2)
		alone := math("alone")
		alone.Service = "_text._tcp" // too small a service for the guard otherwise
		register(t, r, alone)
		time.Sleep(5 * lease)
		synctest.Wait()
		if s := r.Stats(); s.Instances != 3 || s.Suspect != 3 {
			t.Fatalf("after five silent leases: %+v", s)
		}
		renew(t, r, ids[0]) // the net is back
		time.Sleep(lease / 3)
		if got, want := published(m), "_math._tcp/a0 up 10:100\n_math._tcp/a1 suspect 1010:100\n_text._tcp/alone suspect 1010:100"; got != want {
			t.Errorf("published\n%s\nwant\n%s", got, want)
		}
		// The hold ends ten leases after it began, whoever is heard.
		for range 16 {
			time.Sleep(lease / 3)
			renew(t, r, ids[0])
		}
		if s := r.Stats(); s.Suspect != 2 {
			t.Errorf("released early: %+v", s)
		}
		keep(t, r, lease, ids[0])
		if got, want := published(m), "_math._tcp/a0 up 10:100"; got != want {
			t.Errorf("after the hold\n%s\nwant\n%s", got, want)
		}
	})
}

func TestHoldEndsAfterFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{})
		for _, id := range []string{"a1", "a2", "a3"} {
			in := math(id)
			in.Lease = time.Hour
			register(t, r, in)
		}
		time.Sleep(time.Hour + 14*time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Suspect != 3 {
			t.Fatalf("silent for a lease: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Instances != 0 {
			t.Errorf("held for more than 15 minutes: %+v", s)
		}
	})
}

func TestOperatorReleasesTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{})
		for _, service := range []string{"_math._tcp", "_text._tcp"} {
			for _, id := range []string{"a1", "a2", "a3"} {
				in := math(id)
				in.Service = service
				register(t, r, in)
			}
		}
		time.Sleep(lease + time.Second)
		r.ReleaseGuard("_math._tcp")
		time.Sleep(time.Second)
		if _, ok := r.Service("_math._tcp"); ok {
			t.Error("released, and still there")
		}
		if v, _ := r.Service("_text._tcp"); len(v.Instances) != 3 {
			t.Errorf("not released, and gone: %v", v)
		}
		r.ReleaseGuard("")
		time.Sleep(time.Second)
		if s := r.Stats(); s.Instances != 0 {
			t.Errorf("all released: %+v", s)
		}
	})
}

func TestGuardOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{Guard: registry.Guard{Off: true}})
		fleet(t, r, 10)
		time.Sleep(lease + time.Second)
		synctest.Wait()
		if s := r.Stats(); s.Instances != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A stall of ours is added to every lease.
// Operators switch the guard off when it holds back what they know is gone.
func TestGuardSwitchedOffLetsTheHeldGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{Lease: 15 * time.Second})
		fleet(t, r, 10)
		time.Sleep(16 * time.Second) // nobody is heard
		if n := r.Stats().Suspect; n != 10 {
			t.Fatalf("%d suspects, want all 10", n)
		}
		if err := r.Update(registry.Config{Lease: 15 * time.Second, Guard: registry.Guard{Off: true}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(16 * time.Second)
		if n := r.Stats().Instances; n != 0 {
			t.Errorf("a lease after the guard was switched off %d are still there", n)
		}
	})
}

// The race detector is the judge.
func TestRenewalsWhileLeasesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{Lease: lease})
		ids := fleet(t, r, 2000)
		time.Sleep(lease) // as Run does
		for range 20 {
			for _, id := range ids {
				r.Renew(t.Context(), math(id).Key, 0) //nolint:errcheck // some are gone
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}

func TestStallIsNotHeldAgainstLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := registry.Open(registry.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		run := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		}
		in := math("a1")
		in.Service = "_math._udp" // which is not probed
		register(t, r, in)
		run(10 * time.Second)
		time.Sleep(time.Hour) // stopped
		run(4 * time.Second)
		if l, ok := r.Instance(in.Key); !ok || l.ExpiresIn > time.Second || l.ExpiresIn < 900*time.Millisecond {
			t.Errorf("after 14 of 15 seconds and a stall it is %+v, %v", l, ok)
		}
		if s := r.Stats(); s.Stalls != 1 || s.Stalled < time.Hour-time.Second || s.Stalled > time.Hour+time.Second {
			t.Errorf("stats: %+v", s)
		}
		run(2 * time.Second)
		if _, ok := r.Instance(in.Key); ok {
			t.Error("not expired after its 15 seconds")
		}
	})
}

func TestLostConnectionsAreProbedAFewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, asked atomic.Int32
		r, _ := start(t, registry.Config{
			MaxPerService: 1000,
			Guard:         registry.Guard{Probes: 8},
			Probe: func(ctx context.Context, _ string) error {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				asked.Add(1)
				<-ctx.Done() // nobody answers
				return ctx.Err()
			},
		})
		ids := fleet(t, r, 100)
		for _, id := range ids[:50] {
			go r.ConnectionLost(t.Context(), math(id).Key, 0)
		}
		time.Sleep(lease + 20*time.Second)
		if most.Load() != 8 {
			t.Errorf("%d probes at once, want 8", most.Load())
		}
		if s := r.Stats(); s.Instances != 100 || s.Suspect != 100 {
			t.Errorf("no proof: %+v", s)
		}
		if asked.Load() < 150 {
			t.Errorf("%d asked, want each suspect and each lost connection", asked.Load())
		}
	})
}

// A port that is being closed answers in every way before it refuses.
func TestWhoMayBeClosingIsAskedAgain(t *testing.T) {
	for _, first := range []error{nil, context.DeadlineExceeded, os.ErrDeadlineExceeded, fmt.Errorf("dial: %w", syscall.ECONNRESET)} {
		synctest.Test(t, func(t *testing.T) {
			probes := 0
			r, _ := start(t, registry.Config{Probe: func(context.Context, string) error {
				if probes++; probes > 1 {
					return errRefused
				}
				return first
			}})
			register(t, r, math("a1"))
			r.ConnectionLost(t.Context(), math("a1").Key, 0)
			if _, ok := r.Instance(math("a1").Key); ok {
				t.Errorf("first %v: still registered after %d probes", first, probes)
			}
		})
	}
}

func TestWhoIsOutOfReachIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes := 0
		r, _ := start(t, registry.Config{Probe: func(context.Context, string) error {
			probes++
			return errors.New("no route to host")
		}})
		register(t, r, math("a1"))
		r.ConnectionLost(t.Context(), math("a1").Key, 0)
		if probes != 1 {
			t.Errorf("%d probes, want 1", probes)
		}
	})
}

func TestLostConnectionOfAReplacedProcessIsNoDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r, _ := start(t, registry.Config{Probe: func(context.Context, string) error {
			<-release
			return errRefused
		}})
		old := math("a1")
		old.Incarnation = 1
		register(t, r, old)
		register(t, r, math("a2"))
		lost := make(chan struct{}, 2)
		go func() { r.ConnectionLost(t.Context(), old.Key, 1); lost <- struct{}{} }()
		go func() { r.ConnectionLost(t.Context(), math("a2").Key, 0); lost <- struct{}{} }()
		synctest.Wait() // both are being asked
		time.Sleep(time.Second)
		next := old
		next.Incarnation = 2
		register(t, r, next) // restarted: what refuses is the one before
		renew(t, r, "a2")    // alive after all
		close(release)
		<-lost
		<-lost
		r.ConnectionLost(t.Context(), old.Key, 1)
		if s := r.Stats(); s.Instances != 2 {
			t.Errorf("%+v", s)
		}
		r.ConnectionLost(t.Context(), next.Key, 2)
		if _, ok := r.Instance(next.Key); ok {
			t.Error("it refused, and is still there")
		}
	})
}

func TestLostConnectionIsProbedAgainWhileTheProcessIsBuried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		r, _ := start(t, registry.Config{Probe: func(context.Context, string) error {
			if asked++; asked < 3 {
				return nil // the port still takes connections
			}
			return errRefused
		}})
		in := register(t, r, math("a1"))
		began := time.Now()
		r.ConnectionLost(t.Context(), in.Key, in.Incarnation)
		if _, ok := r.Instance(in.Key); ok || asked != 3 {
			t.Errorf("asked %d times, there: %v", asked, ok)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestProbesCanBeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{
			Guard: registry.Guard{NoProbe: true},
			Probe: func(context.Context, string) error { t.Error("asked"); return errRefused },
		})
		fleet(t, r, 4)
		r.ConnectionLost(t.Context(), math("a0").Key, 0)
		time.Sleep(lease + time.Second)
		synctest.Wait()
		if s := r.Stats(); s.Suspect != 4 {
			t.Errorf("%+v", s)
		}
	})
}

// The probe itself, over real sockets.
func TestLostConnectionOfAKilledServerRemovesItAtOnce(t *testing.T) {
	r, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := math("a1")
	in.Host, in.Port = "127.0.0.1", uint16(l.Addr().(*net.TCPAddr).Port)
	register(t, r, in)
	r.ConnectionLost(t.Context(), in.Key, 0)
	if _, ok := r.Instance(in.Key); !ok {
		t.Error("it listens, and was removed")
	}
	l.Close()
	r.ConnectionLost(t.Context(), in.Key, 0)
	if _, ok := r.Instance(in.Key); ok {
		t.Error("nobody listens any more, and it is still there")
	}
	udp := in
	udp.Service = "_math._udp"
	register(t, r, udp)
	r.ConnectionLost(t.Context(), udp.Key, 0)
	if _, ok := r.Instance(udp.Key); !ok {
		t.Error("a UDP server was taken for dead because it refuses TCP")
	}
}
