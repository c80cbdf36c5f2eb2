package registry_test

import (
	"errors"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
)

// A sink that publishes other data than before has a revision of its own.
func TestRenewedSinkIsLoadedAtARevisionOfItsOwn(t *testing.T) {
	r, m := start(t, registry.Config{})
	register(t, r, math("a1"))
	seen := r.At(r.Revision())
	m.AllowGaps()
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
