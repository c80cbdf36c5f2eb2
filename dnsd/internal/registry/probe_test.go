package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

func TestDeathIsProvenByARefusedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{Probe: func(context.Context, string) error {
			return errRefused
		}})
		for _, id := range []string{"a1", "a2"} {
			register(t, r, math(id))
		}
		r.ConnectionLost(t.Context(), math("a2").Key, 0)
		if strings.Contains(published(m), "a2") {
			t.Errorf("a2 refused and is still published:\n%s", published(m))
		}
		time.Sleep(15*time.Second + 2*50*time.Millisecond)
		synctest.Wait()
		if got := published(m); got != "" {
			t.Errorf("all refused and still published:\n%s", got)
		}
	})
}

// A firewall that resets connections looks as if all hosts that it protects were dead.
func TestNoMoreThanTheGuardsShareIsProvenDeadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := false
		r, m := start(t, registry.Config{Probe: func(context.Context, string) error {
			if refuse {
				return errRefused
			}
			return errors.New("no route to host")
		}})
		ids := fleet(t, r, 10)
		refuse = true
		for _, id := range ids[1:] {
			r.ConnectionLost(t.Context(), math(id).Key, 0)
		}
		s := r.Stats()
		if s.Instances != 7 || s.Suspect != 6 || s.Proven != 3 {
			t.Errorf("nine of ten refuse: %+v, want 3 removed and 6 suspects", s)
		}
		renew(t, r, ids[9]) // it lives: the firewall had refused
		if got := published(m); !strings.Contains(got, "_math._tcp/a9 up 10:100") {
			t.Errorf("published\n%s", got)
		}
		for range 3 { // dead instances are removed, as far as the share allows
			time.Sleep(lease / 3)
			renew(t, r, ids[0], ids[9])
		}
		time.Sleep(time.Second)
		if s := r.Stats(); s.Instances != 5 || s.Suspect != 3 {
			t.Errorf("a lease later: %+v, want 2 of 7 more removed", s)
		}
	})
}

// The same, with services that are too small for a share.
func TestNoMoreThanTheGuardsShareOfAllIsProvenDeadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{Probe: func(context.Context, string) error { return errRefused }})
		var keys []registry.Key
		for i := range 200 {
			in := math(fmt.Sprint("a", i%2))
			in.Service = fmt.Sprintf("_s%d._tcp", i/2)
			keys = append(keys, register(t, r, in).Key)
		}
		for _, k := range keys {
			r.ConnectionLost(t.Context(), k, 0)
		}
		if s := r.Stats(); s.Instances != 140 || s.Suspect != 140 {
			t.Errorf("all 200 refuse: %+v, want 60 removed and 140 suspects", s)
		}
	})
}

func TestAFewLostConnectionsAreProbedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, asked atomic.Int32
		r, _ := start(t, registry.Config{
			Limits: registry.Limits{PerService: 1000},
			Guard:  registry.Guard{Probes: 8},
			Probe: func(ctx context.Context, _ string) error {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				asked.Add(1)
				<-ctx.Done() // no host answers
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
			t.Errorf("%d probes, want one for each suspect and each lost connection", asked.Load())
		}
	})
}

// A port that is being closed answers in every way before it refuses.
func TestAPortThatMayBeClosingIsProbedAgain(t *testing.T) {
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

func TestAnInstanceOutOfReachIsProbedOnce(t *testing.T) {
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
		synctest.Wait() // both are being probed
		time.Sleep(time.Second)
		next := old
		next.Incarnation = 2
		register(t, r, next) // restarted: the old process refuses
		renew(t, r, "a2")    // it lives
		close(release)
		<-lost
		<-lost
		r.ConnectionLost(t.Context(), old.Key, 1)
		if s := r.Stats(); s.Instances != 2 {
			t.Errorf("%+v", s)
		}
		r.ConnectionLost(t.Context(), next.Key, 2)
		if _, ok := r.Instance(next.Key); ok {
			t.Error("it refused, and is still registered")
		}
	})
}

func TestLostConnectionIsProbedAgainWhileTheProcessIsBuried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		r, _ := start(t, registry.Config{Probe: func(context.Context, string) error {
			if asked++; asked < 3 {
				return nil // the port still accepts connections
			}
			return errRefused
		}})
		in := register(t, r, math("a1"))
		began := time.Now()
		r.ConnectionLost(t.Context(), in.Key, in.Incarnation)
		if _, ok := r.Instance(in.Key); ok || asked != 3 {
			t.Errorf("probed %d times, registered: %v", asked, ok)
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
			Probe: func(context.Context, string) error { t.Error("probed"); return errRefused },
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

// This is the usual probe, over real sockets.
func TestLostConnectionOfAKilledServerRemovesItAtOnce(t *testing.T) {
	r, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := net.Listen("tcp", freeaddr.Take(1)[0].String()) // no other process gets it when it is closed
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
		t.Error("it does not listen any more, and is still registered")
	}
	udp := in
	udp.Service = "_math._udp"
	register(t, r, udp)
	r.ConnectionLost(t.Context(), udp.Key, 0)
	if _, ok := r.Instance(udp.Key); !ok {
		t.Error("a UDP server was taken for dead because it refuses TCP")
	}
}

// TestLostConnectionWhileTheServerStopsRemovesNothing: the receipt says that the instance
// is still registered.
func TestLostConnectionWhileTheServerStopsRemovesNothing(t *testing.T) {
	r, _ := start(t, registry.Config{Probe: func(context.Context, string) error { return errRefused }})
	in := register(t, r, math("a1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done, err := r.ConnectionLost(ctx, in.Key, 0)
	if err != nil || done.Did != registry.Nothing || done.Instance != in || done.Revision != in.Revision {
		t.Errorf("receipt %+v, error %v", done, err)
	}
}
