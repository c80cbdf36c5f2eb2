package registry_test

import (
	"errors"
	gomath "math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestStickyDrainSurvivesTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{FenceAge: time.Hour})
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
			time.Sleep(2 * time.Hour) // longer than a fence lives
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

func TestStickyDrainOfWhoIsGoneCanBeLifted(t *testing.T) {
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
		t.Error("the fence went with the drain")
	}
	if out := register(t, r, in); out.State != registry.Up {
		t.Errorf("it is %+v", out)
	}
}

// What an operator does to a suspect does not make it healthy.
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

// A host whose clock was ahead, and was put right.
func TestIncarnationOfAClockThatWasAhead(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	now := uint64(time.Now().UnixMilli())
	in.Incarnation = now + 30_000
	register(t, r, in)
	if _, err := r.Deregister(t.Context(), in.Key, &in.Incarnation); err != nil {
		t.Fatal(err)
	}
	restarted := in
	restarted.Incarnation = now + 5_000
	_, err := r.Register(t.Context(), restarted)
	var fenced *registry.FencedError
	if !errors.As(err, &fenced) || !fenced.Gone || fenced.Live != in.Incarnation {
		t.Fatalf("the next process: %v, want it told what was here last, and that it is gone", err)
	}
	restarted.Incarnation = fenced.Live + 1 // what a process does that has just begun
	register(t, r, restarted)
	old := in
	if _, err := r.Register(t.Context(), old); !errors.As(err, &fenced) || fenced.Gone {
		t.Errorf("the process before: %v, want it fenced by who lives", err)
	}
}

func TestOperatorClearsAFence(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	in.Incarnation = 9
	register(t, r, in)
	if _, err := r.Unfence(t.Context(), in.Key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("nobody was fenced yet: %v", err)
	}
	if _, err := r.Deregister(t.Context(), in.Key, nil); err != nil {
		t.Fatal(err)
	}
	in.Incarnation = 3
	if _, err := r.Register(t.Context(), in); err == nil {
		t.Fatal("not fenced")
	}
	if _, err := r.Unfence(t.Context(), in.Key); err != nil {
		t.Fatal(err)
	}
	register(t, r, in)
}

// No number that is let in leaves no higher one.
func TestIncarnationOfTheFarFutureIsRefused(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	var field *registry.FieldError
	for _, bad := range []uint64{gomath.MaxUint64, gomath.MaxInt64, uint64(time.Now().Add(25 * time.Hour).UnixNano())} {
		in.Incarnation = bad
		if _, err := r.Register(t.Context(), in); !errors.As(err, &field) || field.Field != "incarnation" {
			t.Errorf("%d: %v, want it refused", bad, err)
		}
	}
	for _, good := range []uint64{1, uint64(time.Now().UnixMilli()), uint64(time.Now().UnixMicro()), uint64(time.Now().UnixNano())} {
		in.Incarnation = good
		register(t, r, in)
	}
}

func TestRenewalsOfAReplacedProcessAreTold(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	in.Incarnation = 7
	register(t, r, in)
	before, _ := r.Instance(in.Key)
	done, err := r.RenewAll(t.Context(), []registry.Renewal{
		{Key: in.Key, Incarnation: 6}, {Key: math("a2").Key, Incarnation: 1}, {Key: in.Key, Incarnation: 8},
	})
	if err != nil || done.Count != 0 || len(done.Unknown) != 2 || len(done.Replaced) != 1 || done.Replaced[0] != in.Key {
		t.Errorf("RenewAll = %+v, %v", done, err)
	}
	if after, _ := r.Instance(in.Key); after.ExpiresIn > before.ExpiresIn {
		t.Error("an old process renewed the lease of the one that replaced it")
	}
	if done, err := r.RenewAll(t.Context(), []registry.Renewal{{Key: in.Key, Incarnation: 7}, {Key: in.Key}}); err != nil || done.Count != 2 || len(done.Unknown)+len(done.Replaced) > 0 {
		t.Errorf("RenewAll = %+v, %v", done, err)
	}
}

func TestPositionsAreReadAsWritten(t *testing.T) {
	r, _ := start(t, registry.Config{})
	p := r.At(27712345678)
	if got, err := registry.ParsePosition(p.String()); got != p || err != nil {
		t.Errorf("ParsePosition(%q) = %v, %v", p, got, err)
	}
	if got, err := registry.ParsePosition("7"); got != (registry.Position{Revision: 7}) || err != nil {
		t.Errorf("a revision alone: %v, %v", got, err)
	}
	for _, bad := range []string{"", "-", "-7", "7-", "x", "1-7", p.String() + "x", "0" + p.String(), p.String() + "-1"} {
		var field *registry.FieldError
		if got, err := registry.ParsePosition(bad); !errors.As(err, &field) {
			t.Errorf("ParsePosition(%q) = %v, %v", bad, got, err)
		}
	}
	for _, p := range []registry.Position{{Life: r.Life() + 1}, {}} {
		if _, err := r.Watch("", &p); !errors.Is(err, registry.ErrCompacted) {
			t.Errorf("Watch from %v of another life: %v, want ErrCompacted", p, err)
		}
	}
	other, _ := start(t, registry.Config{})
	if other.Life() == r.Life() {
		t.Error("two registries share a life")
	}
}
