package registry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// write is one of the writes that Repeat tells from their first attempt.
type write struct {
	name string
	do   func(w registry.Writer, key registry.Key) (registry.Receipt, error)
}

func registering(name string, port uint16) write {
	return write{name, func(w registry.Writer, key registry.Key) (registry.Receipt, error) {
		in := math(key.ID)
		in.Port = port
		return w.Register(context.Background(), in)
	}}
}

var writes = []write{
	registering("register", 8080),
	registering("register another", 8081),
	{"deregister", func(w registry.Writer, key registry.Key) (registry.Receipt, error) {
		return w.Deregister(context.Background(), key, nil)
	}},
	{"drain", func(w registry.Writer, key registry.Key) (registry.Receipt, error) {
		return w.Drain(context.Background(), key, false)
	}},
	{"undrain", func(w registry.Writer, key registry.Key) (registry.Receipt, error) {
		return w.Undrain(context.Background(), key)
	}},
	{"drain for good", func(w registry.Writer, key registry.Key) (registry.Receipt, error) {
		return w.Drain(context.Background(), key, true)
	}},
	{"unfence", func(w registry.Writer, key registry.Key) (registry.Receipt, error) {
		return w.Unfence(context.Background(), key)
	}},
	{"register with an incarnation", func(w registry.Writer, key registry.Key) (registry.Receipt, error) {
		in := math(key.ID)
		in.Incarnation = 7
		return w.Register(context.Background(), in)
	}},
}

func TestRepeatUndoesNothing(t *testing.T) {
	const register, another, deregister, drain, undrain, sticky, unfence, newer = 0, 1, 2, 3, 4, 5, 6, 7
	for _, c := range []struct {
		before  []int // done before the first attempt
		do      int
		arrives bool  // the first attempt
		between []int // done by others
		did     registry.Did
		err     error
	}{
		{nil, register, false, nil, registry.Created, nil},
		{nil, register, true, nil, registry.Renewed, nil},
		{nil, register, true, []int{deregister}, 0, registry.ErrOvertaken},
		{nil, register, false, []int{register, deregister}, 0, registry.ErrOvertaken},
		{nil, register, true, []int{another}, 0, registry.ErrOvertaken},
		{nil, register, false, []int{register}, registry.Renewed, nil},
		{[]int{another}, register, false, nil, registry.Changed, nil},
		{[]int{another}, register, false, []int{deregister}, 0, registry.ErrOvertaken},
		{[]int{register}, register, true, []int{drain}, registry.Renewed, nil},
		{[]int{register}, deregister, false, nil, registry.Removed, nil},
		{[]int{register}, deregister, true, nil, 0, registry.ErrNotFound},
		{[]int{register}, deregister, true, []int{register}, 0, registry.ErrOvertaken},
		{[]int{register}, deregister, false, []int{another}, 0, registry.ErrOvertaken},
		{[]int{register}, drain, false, nil, registry.Changed, nil},
		{[]int{register}, drain, true, nil, registry.Nothing, nil},
		{[]int{register}, drain, true, []int{undrain}, 0, registry.ErrOvertaken},
		{[]int{register}, drain, true, []int{deregister}, 0, registry.ErrNotFound},
		{[]int{register, drain}, undrain, false, nil, registry.Changed, nil},
		{[]int{register, drain}, undrain, true, nil, registry.Nothing, nil},
		{[]int{register, drain}, undrain, true, []int{drain}, 0, registry.ErrOvertaken},
		{[]int{register, sticky}, undrain, true, []int{sticky, deregister}, 0, registry.ErrOvertaken},
		{[]int{register, sticky}, undrain, false, []int{deregister}, 0, registry.ErrOvertaken},
		{[]int{register, sticky, deregister}, undrain, false, nil, registry.Forgotten, nil},
		{[]int{register, sticky, deregister}, undrain, true, nil, 0, registry.ErrNotFound},
		{[]int{newer, deregister}, unfence, false, nil, registry.Forgotten, nil},
		{[]int{newer, deregister}, unfence, true, nil, 0, registry.ErrNotFound},
		{[]int{newer, deregister}, unfence, true, []int{newer, deregister}, 0, registry.ErrOvertaken},
	} {
		name := fmt.Sprint(writes[c.do].name, ", before ", c.before, ", arrives ", c.arrives, ", between ", c.between)
		r, _ := start(t, registry.Config{})
		key := math("a1").Key
		all := func(some []int) {
			for _, i := range some {
				if _, err := writes[i].do(r, key); err != nil {
					t.Fatalf("%s: %s: %v", name, writes[i].name, err)
				}
				other(t, r) // a change of another instance is none of this one
			}
		}
		all(c.before)
		since := r.Revision()
		if c.arrives {
			all([]int{c.do})
		}
		all(c.between)
		was := r.Revision()
		done, err := writes[c.do].do(r.Repeat(since), key)
		if done.Did != c.did || !errors.Is(err, c.err) || err != nil && c.err == nil {
			t.Errorf("%s: %v, %v; want %v, %v", name, done.Did, err, c.did, c.err)
		}
		if err != nil && r.Revision() != was {
			t.Errorf("%s: it was refused, and has changed something", name)
		}
	}
}

// other changes another instance.
func other(t *testing.T, r *registry.Registry) {
	in := math("b1")
	in.Port = 1 + uint16(r.Revision()%1000)
	register(t, r, in)
}

// TestRepeatIsDoneOnce: of a write and its repeat, one at most changes anything, whatever
// others do before and between. If they did nothing between, the repeat succeeds.
func TestRepeatIsDoneOnce(t *testing.T) {
	key := math("a1").Key
	rapid.Check(t, func(t *rapid.T) {
		r, err := registry.Open(registry.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		others := rapid.SliceOfN(rapid.IntRange(0, len(writes)-1), 0, 4)
		all := func(label string) (n int) {
			was := r.Revision()
			for _, i := range others.Draw(t, label) {
				_, _ = writes[i].do(r, key) // it may be that there is nothing to do it to
			}
			return int(r.Revision() - was)
		}
		all("before")
		since := r.Revision()
		own := rapid.SampledFrom(writes).Draw(t, "write")
		late := all("before the first attempt arrives")
		first, changed := registry.Receipt{}, false
		if rapid.Bool().Draw(t, "arrives") {
			was := r.Revision()
			first, _ = own.do(r, key)
			changed = r.Revision() > was
		}
		between := all("between")
		was := r.Revision()
		done, err := own.do(r.Repeat(since), key)
		switch again := r.Revision() > was; {
		case changed && again:
			t.Errorf("%s was done twice: %v, and then %v", own.name, first.Did, done.Did)
		case again && late+between > 0:
			t.Errorf("%s was done after others: %v", own.name, done.Did)
		case again && err != nil:
			t.Errorf("%s was done, and failed: %v", own.name, err)
		case late+between == 0 && errors.Is(err, registry.ErrOvertaken):
			t.Errorf("%s: %v, and there was nothing else", own.name, err)
		}
	})
}

// TestRepeatBeyondTheHistory: what is not registered may have been removed before the
// history begins.
func TestRepeatBeyondTheHistory(t *testing.T) {
	r, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	since := r.Revision()
	if _, err := r.Skip(context.Background()); err != nil { // the history begins here
		t.Fatal(err)
	}
	if _, err := r.Repeat(since).Register(context.Background(), math("a1")); !errors.Is(err, registry.ErrOvertaken) {
		t.Errorf("what is not registered: %v; want ErrOvertaken", err)
	}
	if _, err := r.Repeat(r.Revision()).Register(context.Background(), math("a1")); err != nil {
		t.Errorf("from the present revision: %v", err)
	}
}
