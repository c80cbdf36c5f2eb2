package registry_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestStickyDrainSurvivesTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := startTuned(t, registry.Config{}, func(n *registry.Tuning) { n.FenceAge = time.Hour })
		in := math("a1")
		in.Incarnation = 1
		register(t, r, in)
		if out, err := r.Drain(t.Context(), in.Key, true); err != nil || !out.Instance.Sticky {
			t.Fatalf("Drain = %+v, %v", out, err)
		}
		for next := range uint64(3) {
			if _, err := r.Deregister(t.Context(), in.Key, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour) // longer than a fence is kept
			register(t, r, math("other"))
			in.Incarnation = next + 2
			if out := register(t, r, in); out.State != registry.Drained || !out.Sticky {
				t.Errorf("restarted, it is %+v", out)
			}
		}
		if out, err := r.Undrain(t.Context(), in.Key); err != nil || out.Did != registry.Changed || out.Instance.State != registry.Up || out.Instance.Sticky {
			t.Errorf("Undrain = %+v, %v", out, err)
		}
		if _, err := r.Deregister(t.Context(), in.Key, nil); err != nil {
			t.Fatal(err)
		}
		if out := register(t, r, in); out.State != registry.Up {
			t.Errorf("the drain was lifted, and it is %+v", out)
		}
		if published(m) == "" {
			t.Error("not published")
		}
	})
}

func TestStickyDrainOfAnAbsentInstanceCanBeLifted(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	in.Incarnation = 5
	register(t, r, in)
	if _, err := r.Drain(t.Context(), in.Key, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Deregister(t.Context(), in.Key, nil); err != nil {
		t.Fatal(err)
	}
	if out, err := r.Undrain(t.Context(), in.Key); out.Did != registry.Forgotten || out.Instance != nil || err != nil {
		t.Errorf("Undrain = %+v, %v", out, err)
	}
	if _, err := r.Undrain(t.Context(), in.Key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("lifted twice: %v", err)
	}
	old := in
	old.Incarnation = 4
	if _, err := r.Register(t.Context(), old); err == nil {
		t.Error("the fence was removed with the drain")
	}
	if out := register(t, r, in); out.State != registry.Up {
		t.Errorf("it is %+v", out)
	}
}

// A drain and its end do not make a suspect healthy.
func TestDrainAndUndrainLeaveASuspectASuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{})
		fleet(t, r, 10)
		time.Sleep(lease + time.Second)
		key := math("a5").Key
		if l, _ := r.Instance(key); l.State != registry.Suspect {
			t.Fatalf("it is %+v", l)
		}
		if _, err := r.Drain(t.Context(), key, false); err != nil {
			t.Fatal(err)
		}
		if out, err := r.Undrain(t.Context(), key); err != nil || out.Instance.State != registry.Suspect {
			t.Errorf("Undrain = %+v, %v", out, err)
		}
		renew(t, r, "a5")
		if l, _ := r.Instance(key); l.State != registry.Up {
			t.Errorf("renewed, it is %+v", l)
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
		in.Weight, in.Incarnation = 5, 7 // as after a restart
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
			t.Errorf("Drain of an absent instance = %v", err)
		}
	})
}

// TestInstanceThatDrainsItself: it and an operator each end their own drain.
func TestInstanceThatDrainsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		in := math("a1")
		in.Drain = true
		if out := register(t, r, in); out.State != registry.Up || out.Shown() != registry.Drained {
			t.Fatalf("registered as %+v", out)
		}
		expect := func(what, want string) {
			t.Helper()
			if got := published(m); got != want {
				t.Errorf("%s, it is published as %q, want %q", what, got, want)
			}
		}
		up := "_math._tcp/a1 up 10:100"
		expect("drained by itself", "")
		if st := r.Stats(); st.Drained != 1 || st.Up != 0 {
			t.Errorf("it counts as %+v", st)
		}
		for range 10 {
			time.Sleep(5 * time.Second)
			renew(t, r, "a1")
		}
		expect("renewed", "")
		if _, err := r.Undrain(t.Context(), in.Key); err != nil {
			t.Fatal(err)
		}
		expect("undrained by an operator", "")
		if _, err := r.Drain(t.Context(), in.Key, false); err != nil {
			t.Fatal(err)
		}
		in.Drain = false
		register(t, r, in)
		expect("drained by an operator", "")
		if _, err := r.Undrain(t.Context(), in.Key); err != nil {
			t.Fatal(err)
		}
		expect("drained by neither", up)

		in.Drain = true
		if out, err := r.Register(t.Context(), in); err != nil || out.Did != registry.Changed {
			t.Errorf("drained again: %+v, %v", out, err)
		}
		if out, err := r.Register(t.Context(), in); err != nil || out.Did != registry.Renewed {
			t.Errorf("said again: %+v, %v", out, err)
		}
		expect("drained by itself again", "")
		time.Sleep(lease + time.Second)
		if _, ok := r.Instance(in.Key); ok {
			t.Error("its lease is over, and the guard keeps it, although it is in no answer")
		}
		in.Drain = false
		in.Incarnation = 2
		register(t, r, in)
		expect("registered by a process that does not drain", up)
	})
}
