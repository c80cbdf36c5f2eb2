package registry_test

import (
	"errors"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

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
