package registry_test

import (
	"slices"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestANewKeyIsChecked(t *testing.T) {
	if k, err := registry.NewKey("_math._tcp", "a1"); err != nil || k.String() != "_math._tcp/a1" {
		t.Errorf("NewKey = %v, %v", k, err)
	}
	var bad []string
	for _, text := range []string{"_math._tcp", "math._tcp/a1", "_math._tcp/", "_math._tcp/A1", "_math._tcp/a1/a2"} {
		if _, err := registry.ParseKey(text); err == nil {
			bad = append(bad, text)
		}
	}
	if _, err := registry.NewKey("_math._tcp", "a.1"); err == nil {
		bad = append(bad, "a.1")
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		t.Errorf("taken for keys: %q", bad)
	}
}

func TestServicesAndIDsAreChecked(t *testing.T) {
	if err := registry.CheckService("_math._tcp"); err != nil {
		t.Error(err)
	}
	wantField(t, registry.CheckService("math"), "service", "math", `write "_math._tcp"`)
	if err := registry.CheckID("a-1"); err != nil {
		t.Error(err)
	}
	wantField(t, registry.CheckID("A1"), "id", "A1", "lower case")
}

func TestParseKey(t *testing.T) {
	k, err := registry.ParseKey("_math._tcp/a1")
	if err != nil || k.Service != "_math._tcp" || k.ID != "a1" || k.String() != "_math._tcp/a1" {
		t.Errorf("ParseKey = %v, %v", k, err)
	}
	for s, field := range map[string]string{"": "instance", "_math._tcp": "instance", "_math._tcp/": "id", "_math/a1": "service", "_math._tcp/a1/b": "id"} {
		if _, err := registry.ParseKey(s); err == nil || err.(*registry.FieldError).Field != field {
			t.Errorf("%q: %v, want a problem of %s", s, err, field)
		}
	}
}
