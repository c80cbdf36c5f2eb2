package registry_test

import (
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestPublishedPriority(t *testing.T) {
	for _, c := range []struct {
		state    registry.State
		priority uint16
		want     uint16
		ok       bool
	}{
		{registry.Up, 10, 10, true},
		{registry.Unconfirmed, 10, 10, true},
		{registry.Suspect, 10, 1010, true},
		{registry.Suspect, 64535, 65535, true},
		{registry.Suspect, 64536, 65535, true},
		{registry.Suspect, 65535, 65535, true},
		{registry.Drained, 10, 0, false},
	} {
		in := registry.Instance{Priority: c.priority, State: c.state}
		if got, ok := in.Published(); got != c.want || ok != c.ok {
			t.Errorf("%v at %d: %d, %v", c.state, c.priority, got, ok)
		}
	}
}
