package registry_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestCensusNamesTheLargestServices(t *testing.T) {
	r, _ := start(t, registry.Config{})
	for n, service := range []string{"_one._tcp", "_two._tcp", "_three._tcp", "_four._tcp"} {
		for i := range n + 1 {
			in := math(fmt.Sprintf("a%d", i))
			in.Service = service
			if _, err := r.Register(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
	}
	drained := math("a1")
	drained.Service = "_four._tcp"
	if _, err := r.Drain(t.Context(), drained.Key, false); err != nil {
		t.Fatal(err)
	}
	restored := math("a2")
	restored.Service = "_two._tcp"
	if _, err := r.Restore(t.Context(), []*registry.Instance{&restored}, nil); err != nil {
		t.Fatal(err)
	}
	gone := restored
	gone.ID = "a0"
	if _, err := r.Deregister(t.Context(), gone.Key, nil); err != nil {
		t.Fatal(err)
	}
	want := []registry.Count{
		{Service: "_four._tcp", Instances: 4, States: [4]int32{registry.Up: 3, registry.Drained: 1}},
		{Service: "_three._tcp", Instances: 3, States: [4]int32{registry.Up: 3}},
		{Instances: 3, States: [4]int32{registry.Up: 2, registry.Unconfirmed: 1}},
	}
	if got := r.Census(2); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := r.Census(4); len(got) != 4 || got[3].Service != "_one._tcp" {
		t.Errorf("all: %+v", got)
	}
	if a, b, c := r.Span("_two._tcp"), r.Span("_no._tcp"), r.Span(""); a != 2 || b != 0 || c != 8 {
		t.Errorf("spans %d, %d, %d", a, b, c)
	}
	if rev, ok := r.ServiceRevision("_two._tcp"); !ok || rev != 13 {
		t.Errorf("revision %d, %v", rev, ok)
	}
	if _, ok := r.ServiceRevision("_no._tcp"); ok {
		t.Error("a service without instances has a revision")
	}
}
