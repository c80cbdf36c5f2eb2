package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// published is what a sink was told to publish, as lines "_math._tcp/a1 up 10:100".
func published(m *registrytest.Mirror) string {
	var lines []string
	for k, in := range m.Instances() {
		if p, ok := in.Published(); ok {
			lines = append(lines, fmt.Sprintf("%s %v %d:%d", k, in.State, p, in.Weight))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

var errRefused = fmt.Errorf("dial: %w", syscall.ECONNREFUSED)

// math is a registration of _math._tcp.
func math(id string) registry.Instance {
	return registry.Instance{
		Key:  registry.Key{Service: "_math._tcp", ID: id},
		Host: "10.0.0.7", Port: 8080, Priority: 10, Weight: 100,
	}
}

// start opens a registry and runs it until the test ends.
func start(t testing.TB, cfg registry.Config) (*registry.Registry, *registrytest.Mirror) {
	t.Helper()
	if cfg.Probe == nil {
		cfg.Probe = func(context.Context, string) error { return errors.New("no route to host") }
	}
	r, err := registry.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := &registrytest.Mirror{TB: t}
	r.Attach(m)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, registry.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r, m
}

func register(t testing.TB, r *registry.Registry, in registry.Instance) *registry.Instance {
	t.Helper()
	done, err := r.Register(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return done.Instance
}

func renew(t testing.TB, r *registry.Registry, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := r.Renew(t.Context(), math(id).Key, 0); err != nil {
			t.Fatalf("renew %s: %v", id, err)
		}
	}
}

func TestRegistrationIsPublishedBeforeItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		done, err := r.Register(t.Context(), math("a1"))
		if err != nil || done.Did != registry.Created || done.Revision != 1 || done.Instance.Lease != 15*time.Second || done.Instance.TTL != 5*time.Second {
			t.Fatalf("Register = %+v, %v", done, err)
		}
		if got, want := published(m), "_math._tcp/a1 up 10:100"; got != want {
			t.Errorf("published %q, want %q", got, want)
		}
		again, err := r.Register(t.Context(), math("a1"))
		if err != nil || again.Did != registry.Renewed || again.Revision != 1 || r.Revision() != 1 {
			t.Errorf("the same again = %+v, %v at revision %d: want a renewal", again, err, r.Revision())
		}
	})
}

func TestLeaseEndsWithoutRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		register(t, r, math("a1"))
		register(t, r, math("a2"))
		register(t, r, math("a3"))
		register(t, r, math("a4"))
		for range 10 {
			time.Sleep(5 * time.Second)
			renew(t, r, "a1", "a3", "a4")
		}
		if got, want := published(m), "_math._tcp/a1 up 10:100\n_math._tcp/a3 up 10:100\n_math._tcp/a4 up 10:100"; got != want {
			t.Errorf("published %q, want %q", got, want)
		}
		time.Sleep(10 * time.Second)
		renew(t, r, "a3", "a4")
		time.Sleep(5*time.Second - time.Millisecond)
		if _, ok := r.Instance(math("a1").Key); !ok {
			t.Error("gone before its lease ended")
		}
		time.Sleep(100 * time.Millisecond)
		if _, ok := r.Instance(math("a1").Key); ok {
			t.Error("still there after its lease ended")
		}
		if _, err := r.Renew(t.Context(), math("a1").Key, 0); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("Renew = %v, want ErrNotFound", err)
		}
	})
}

func TestGuardHoldsMassExpiryAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		ids := []string{"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"}
		for _, id := range ids {
			register(t, r, math(id))
		}
		beat := func(d time.Duration) {
			for range d / (5 * time.Second) {
				time.Sleep(5 * time.Second)
				renew(t, r, "a9")
			}
			synctest.Wait()
		}
		beat(20 * time.Second) // the other nine are silent
		s := r.Stats()
		if s.Instances != 7 || s.Suspect != 6 || s.Up != 1 {
			t.Fatalf("after a lease: %+v, want 3 of 10 gone, 6 suspects", s)
		}
		if want := "_math._tcp/a3 suspect 1010:100"; !strings.Contains(published(m), want) {
			t.Errorf("published\n%s\nwant %q in it", published(m), want)
		}
		renew(t, r, "a3") // it was only silent
		if in, _ := r.Instance(math("a3").Key); in.State != registry.Up {
			t.Errorf("a renewed suspect is %v", in.State)
		}
		beat(10*15*time.Second + 5*time.Second)
		if got, want := published(m), "_math._tcp/a9 up 10:100"; got != want {
			t.Errorf("after ten leases\n%s\nwant %s", got, want)
		}
	})
}

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

// A firewall that resets looks like all hosts behind it at once.
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
			t.Errorf("nine of ten refuse: %+v, want 3 gone and 6 suspects", s)
		}
		renew(t, r, ids[9]) // it was the firewall
		if got := published(m); !strings.Contains(got, "_math._tcp/a9 up 10:100") {
			t.Errorf("published\n%s", got)
		}
		for range 3 { // those that really died go, as the share allows
			time.Sleep(lease / 3)
			renew(t, r, ids[0], ids[9])
		}
		time.Sleep(time.Second)
		if s := r.Stats(); s.Instances != 5 || s.Suspect != 3 {
			t.Errorf("a lease later: %+v, want 2 of 7 more gone", s)
		}
	})
}

// The same, where every service is too small for a share.
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
			t.Errorf("all 200 refuse: %+v, want 60 gone and 140 suspects", s)
		}
	})
}

func TestDrainOutlivesRenewalsAndChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		in := math("a1")
		register(t, r, in)
		if out, err := r.Drain(t.Context(), in.Key, false); err != nil || out.Did != registry.Changed || out.Instance.State != registry.Drained || out.Revision != 2 {
			t.Fatalf("Drain = %#v, %v", out, err)
		}
		for range 10 {
			time.Sleep(5 * time.Second)
			renew(t, r, "a1")
		}
		in.Weight, in.Incarnation = 5, 7 // restarted
		register(t, r, in)
		if got := published(m); got != "" {
			t.Errorf("drained, and published %s", got)
		}
		if out, err := r.Drain(t.Context(), in.Key, false); err != nil || out.Did != registry.Nothing || out.Revision != 3 {
			t.Errorf("drained again: %#v, %v", out, err)
		}
		if _, err := r.Undrain(t.Context(), in.Key); err != nil {
			t.Fatal(err)
		}
		if got, want := published(m), "_math._tcp/a1 up 10:5"; got != want {
			t.Errorf("published %s, want %s", got, want)
		}
		if _, err := r.Drain(t.Context(), math("a2").Key, false); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("Drain of nobody = %v", err)
		}
	})
}

func TestLimits(t *testing.T) {
	r, _ := start(t, registry.Config{MaxInstances: 3, MaxPerService: 2})
	register(t, r, math("a1"))
	register(t, r, math("a2"))
	_, err := r.Register(t.Context(), math("a3"))
	if limit := (*registry.LimitError)(nil); !errors.As(err, &limit) || !errors.Is(err, registry.ErrFull) || limit.Max != 2 || limit.What != "instances of _math._tcp" {
		t.Errorf("a third of the service: %v", err)
	}
	changed := math("a2")
	changed.Weight = 7
	register(t, r, changed) // is no new one
	in := math("a1")
	in.Service = "_text._tcp"
	register(t, r, in)
	in.ID = "a2"
	_, err = r.Register(t.Context(), in)
	if limit := (*registry.LimitError)(nil); !errors.As(err, &limit) || limit.Max != 3 || limit.What != "instances" {
		t.Errorf("a fourth in all: %v", err)
	}
}

// What waits in the queue while a commit runs shares the next one.
func TestRequestsAtOnceShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{Backend: registry.Memory(), enter: make(chan int), leave: make(chan struct{})}
		r, err := registry.Open(registry.Config{Backend: b})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { register(t, r, math("first")) })
		if n := <-b.enter; n != 1 {
			t.Errorf("the first commit has %d changes", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := r.Register(ctx, math("impatient"))
			gaveUp <- err
		}()
		for i := range 50 {
			wg.Go(func() { register(t, r, math(fmt.Sprintf("a%d", i))) })
		}
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("canceled while it waited: %v", err)
		}
		if n := r.Stats().Instances; n != 0 {
			t.Errorf("%d published before they were stored", n)
		}
		b.leave <- struct{}{}
		if n := <-b.enter; n != 50 {
			t.Errorf("the second commit has %d changes, want 50", n)
		}
		b.leave <- struct{}{}
		wg.Wait()
		if s := r.Stats(); s.Instances != 51 || s.Commits != 2 {
			t.Errorf("%+v", s)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A renewal that comes while the instance is being removed is not acknowledged
// and then lost.
func TestRenewalDuringRemovalIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{Backend: registry.Memory(), enter: make(chan int), leave: make(chan struct{})}
		r, err := registry.Open(registry.Config{Backend: b})
		if err != nil {
			t.Fatal(err)
		}
		step := func() { <-b.enter; b.leave <- struct{}{} }
		go step()
		register(t, r, math("a1"))
		go r.Deregister(t.Context(), math("a1").Key, nil)
		<-b.enter
		answers := make(chan error, 2)
		go func() { _, err := r.Renew(t.Context(), math("a1").Key, 0); answers <- err }()
		go func() {
			done, err := r.RenewAll(t.Context(), []registry.Renewal{{Key: math("a1").Key}})
			if len(done.Unknown) == 1 {
				err = registry.ErrNotFound
			}
			answers <- err
		}()
		synctest.Wait()
		b.leave <- struct{}{}
		for range 2 {
			if err := <-answers; !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("renewed while it was removed: %v, want ErrNotFound", err)
			}
		}
		r.Close()
	})
}

// slow is a backend whose commits wait to be let go.
type slow struct {
	registry.Backend
	enter chan int // changes of the commit
	leave chan struct{}
}

func (s *slow) Commit(b *registry.Batch) error {
	s.enter <- len(b.Changes)
	<-s.leave
	return s.Backend.Commit(b)
}

func TestFencesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{Fences: 10, FenceAge: time.Hour})
		for i := range 100 {
			in := math(fmt.Sprintf("a%d", i))
			in.Incarnation = 5
			register(t, r, in)
			if _, err := r.Deregister(t.Context(), in.Key, nil); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.Stats().Fences; n != 10 {
			t.Errorf("%d fences, want 10", n)
		}
		old := math("a99")
		old.Incarnation = 4
		if _, err := r.Register(t.Context(), old); err == nil {
			t.Error("the newest fence is gone")
		}
		time.Sleep(2 * time.Hour)
		register(t, r, math("b1"))
		if n := r.Stats().Fences; n != 0 {
			t.Errorf("%d fences after they aged", n)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for field, cfg := range map[string]registry.Config{
		"Lease":         {Lease: time.Second},
		"MinLease":      {MinLease: time.Second},
		"MaxLease":      {MaxLease: time.Second, Lease: 5 * time.Second, MinLease: 4 * time.Second},
		"TTL":           {TTL: 8 * time.Second},
		"Guard.Percent": {Guard: registry.Guard{Percent: 101}},
		"Guard.Leases":  {Guard: registry.Guard{Leases: 1001}},
		"Guard.Max":     {Guard: registry.Guard{Max: -1}},
		"MaxInstances":  {MaxInstances: -1},
		"MaxPerService": {MaxPerService: 100_000_001},
		"History":       {History: -1},
		"HistoryAge":    {HistoryAge: -1},
	} {
		r, err := registry.Open(cfg)
		if err == nil {
			r.Close()
		}
		var bad *setting.Error
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	// The default lease is the nearest to 15s that the bounds allow.
	for _, c := range []struct{ lease, min, max, want time.Duration }{
		{want: 15 * time.Second},
		{min: time.Minute, want: time.Minute},
		{max: 5 * time.Second, want: 5 * time.Second},
		{lease: 2 * time.Second, want: 2 * time.Second},
		{lease: 48 * time.Hour, want: 48 * time.Hour},
	} {
		got, err := registry.Check(registry.Config{Lease: c.lease, MinLease: c.min, MaxLease: c.max})
		if err != nil || got.Lease != c.want {
			t.Errorf("lease %v, bounds %v and %v: %v, %v, want %v", c.lease, c.min, c.max, got.Lease, err, c.want)
		}
	}
}

func TestUpdateChangesWhatComesNext(t *testing.T) {
	r, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in := registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a1"}, Host: "192.0.2.1", Port: 1}
	before, err := r.Register(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Update(registry.Config{Lease: 30 * time.Second, MaxPerService: 2}); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.Instance(before.Instance.Key); got.Lease != 15*time.Second {
		t.Errorf("the lease of an instance that is there: %v, want 15s", got.Lease)
	}
	in.ID = "a2"
	if got, err := r.Register(t.Context(), in); err != nil || got.Instance.Lease != 30*time.Second {
		t.Errorf("the lease of one that comes: %v, %v, want 30s", got, err)
	}
	in.ID = "a3"
	var limit *registry.LimitError
	if _, err := r.Register(t.Context(), in); !errors.As(err, &limit) {
		t.Errorf("beyond the new limit: %v", err)
	}
	if err := r.Update(registry.Config{Lease: time.Second}); err == nil {
		t.Error("a bad configuration is taken")
	}
	in.ID = "a1"
	in.Weight = 7
	if got, err := r.Register(t.Context(), in); err != nil || got.Instance.Lease != 30*time.Second {
		t.Errorf("after a refused update: %v, %v, want a lease of 30s", got, err)
	}
}

// What publishes something else than before has a revision of its own.
func TestRenewedSinkIsLoadedAtARevisionOfItsOwn(t *testing.T) {
	r, m := start(t, registry.Config{})
	register(t, r, math("a1"))
	seen := r.At(r.Revision())
	m.Gaps = true
	renewed := &registrytest.Mirror{TB: t}
	defer r.AttachRenewed(renewed)()
	if renewed.Revision() != m.Revision()+1 || r.Revision() != renewed.Revision() || len(renewed.History()) != 0 {
		t.Errorf("loaded at %d with a history of %d, the other is at %d, the registry at %d", renewed.Revision(), len(renewed.History()), m.Revision(), r.Revision())
	}
	if _, err := r.Watch("", &seen); !errors.Is(err, registry.ErrCompacted) {
		t.Errorf("Watch from before: %v, want ErrCompacted", err)
	}
	late, err := r.Watch("", at(r, r.Revision()))
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if next := register(t, r, math("a2")); next.Revision != r.Revision() || len(renewed.Instances()) != 2 {
		t.Errorf("the next is %+v, the renewed sink knows %v", next, renewed.Instances())
	}
	if events, err := late.Next(t.Context()); err != nil || len(events) != 1 {
		t.Errorf("Next = %v, %v", events, err)
	}
}
