package registry_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestRestoreAddsWhatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, _ := start(t, registry.Config{})
		for _, id := range []string{"a1", "a2", "drained", "fenced", "gone"} {
			in := math(id)
			in.Incarnation = 7
			register(t, old, in)
		}
		if _, err := old.Drain(t.Context(), math("drained").Key, true); err != nil {
			t.Fatal(err)
		}
		if _, err := old.Deregister(t.Context(), math("gone").Key, nil); err != nil {
			t.Fatal(err)
		}
		c := old.Content()
		var instances []*registry.Instance
		for in := range c.Instances {
			instances = append(instances, in)
		}
		var fences []registry.Fence
		for f := range c.Fences {
			fences = append(fences, f)
		}

		r, m := start(t, registry.Config{Guard: registry.Guard{Off: true}})
		newer := math("a1")
		newer.Incarnation, newer.Weight = 7, 1
		register(t, r, newer)
		replaced := math("fenced")
		replaced.Incarnation = 8
		register(t, r, replaced)
		if _, err := r.Deregister(t.Context(), replaced.Key, nil); err != nil {
			t.Fatal(err)
		}
		before := r.Revision()
		time.Sleep(5 * time.Second)
		done, err := r.Restore(t.Context(), instances, fences)
		if err != nil || done.Count != 2 || done.Did != registry.Created || done.Revision <= before {
			t.Fatalf("%+v, %v; want 2 after revision %d", done, err, before)
		}
		if n := len(m.Instances()); n != 3 {
			t.Errorf("%d are published, want 3", n)
		}
		if in, _ := r.Instance(newer.Key); in.Weight != 1 {
			t.Error("an instance that was there was replaced")
		}
		if in, _ := r.Instance(math("a2").Key); in.ExpiresIn != 15*time.Second || in.Incarnation != 7 || in.State != registry.Unconfirmed {
			t.Errorf("a restored one is %+v, with %v left", in.Instance, in.ExpiresIn)
		}
		if st := r.Stats(); st.Unconfirmed != 1 || st.Up != 1 || st.Drained != 1 {
			t.Errorf("the numbers are %+v", st)
		}
		if done, err := r.Renew(t.Context(), math("a2").Key, 7); err != nil || done.Did != registry.Renewed {
			t.Errorf("%+v, %v", done, err)
		}
		if in, _ := r.Instance(math("a2").Key); in.State != registry.Up {
			t.Errorf("after a renewal it is %v", in.State)
		}
		if in, _ := r.Instance(math("drained").Key); in.State != registry.Drained || !in.Sticky {
			t.Errorf("the drained one is %+v", in.Instance)
		}
		if _, ok := r.Instance(replaced.Key); ok {
			t.Error("an older process came back")
		}
		late := math("gone")
		late.Incarnation = 6
		var fenced *registry.FencedError
		if _, err := r.Register(t.Context(), late); !errors.As(err, &fenced) {
			t.Errorf("the fence was not restored: %v", err)
		}
		again, err := r.Restore(t.Context(), instances, fences)
		if err != nil || again.Count != 0 || again.Did != registry.Nothing {
			t.Errorf("a second time: %+v, %v", again, err)
		}
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if _, ok := r.Instance(math("a2").Key); ok {
			t.Error("a restored instance that nothing renews is there after its lease")
		}
	})
}

// TestRestoreKeepsADrain: an operator has drained an id for all its processes.
func TestRestoreKeepsADrain(t *testing.T) {
	for _, incarnation := range []uint64{0, 7, 8} {
		r, m := start(t, registry.Config{})
		in := math("a1")
		in.Incarnation = 7
		register(t, r, in)
		if _, err := r.Drain(t.Context(), in.Key, true); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Deregister(t.Context(), in.Key, nil); err != nil {
			t.Fatal(err)
		}
		in.Incarnation = incarnation
		if done, err := r.Restore(t.Context(), []*registry.Instance{&in}, nil); err != nil || done.Count != 1 {
			t.Fatalf("%+v, %v", done, err)
		}
		if is, _ := r.Instance(in.Key); is.Instance == nil || is.State != registry.Drained || !is.Sticky {
			t.Errorf("incarnation %d: %+v; want it drained, and sticky", incarnation, is.Instance)
		}
		for _, p := range m.Instances() {
			if _, ok := p.Published(); ok {
				t.Errorf("incarnation %d: it is published", incarnation)
			}
		}
	}
}

func TestRestoreKeepsTheLimits(t *testing.T) {
	r, _ := start(t, registry.Config{Limits: registry.Limits{Instances: 1}})
	a1, a2 := math("a1"), math("a2")
	var limit *registry.LimitError
	if _, err := r.Restore(t.Context(), []*registry.Instance{&a1, &a2}, nil); !errors.As(err, &limit) {
		t.Errorf("%v, want a LimitError", err)
	}
	if n := r.Stats().Instances; n != 0 {
		t.Errorf("%d instances after an error", n)
	}
}
