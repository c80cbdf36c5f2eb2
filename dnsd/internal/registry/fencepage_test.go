package registry

import (
	"fmt"
	"testing"
	"time"
)

func fenceOf(service string, i int, incarnation uint64) Fence {
	return Fence{Key: Key{Service: service, ID: fmt.Sprint("a", i)}, Incarnation: incarnation, Time: time.Unix(int64(i), 0)}
}

// TestAPageOfFencesIsBounded, however many there are, and the next one goes on behind it,
// also if the order was tidied in between.
func TestAPageOfFencesIsBounded(t *testing.T) {
	const all = 3*fencePage + 10
	f := fences{max: 10_000, age: time.Hour}
	for i := range all {
		f.apply(fenceOf("_math._tcp", i, 1))
	}
	first, last, more := f.page(nil, "", 0, f.last)
	if len(first) != fencePage || !more {
		t.Fatalf("%d fences in a page, more: %v", len(first), more)
	}
	if got, _, more := f.page(nil, "_none._tcp", 0, f.last); len(got) != 0 || !more {
		t.Errorf("%d fences of another service in a page, more: %v", len(got), more)
	}
	for i := range fencePage + 20 {
		f.apply(Fence{Key: fenceOf("_math._tcp", i, 0).Key})
	}
	f.tidy()
	second, _, _ := f.page(nil, "", last, f.last)
	if len(second) == 0 || second[0].ID != fmt.Sprint("a", fencePage+20) {
		t.Errorf("the second page begins with %v", second[:min(1, len(second))])
	}
	for i := range 10 * fencePage { // the order is made again
		f.apply(fenceOf("_math._tcp", all-1, uint64(i)))
		f.tidy()
	}
	if second, _, _ = f.page(nil, "", last, f.last); len(second) != fencePage || second[0].ID != fmt.Sprint("a", fencePage+20) {
		t.Errorf("after it was tidied, the second page has %d", len(second))
	}
}

// TestFencesOfAService are counted, and listed once each.
func TestFencesOfAService(t *testing.T) {
	r, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 2 * fencePage {
		r.fences.apply(fenceOf("_math._tcp", i, 1))
		if i%2 == 0 {
			r.fences.apply(fenceOf("_time._tcp", i, 1))
		}
	}
	r.fences.apply(fenceOf("_math._tcp", 7, 2))                 // it is the newest
	r.fences.apply(Fence{Key: fenceOf("_math._tcp", 3, 0).Key}) // it is forgotten
	r.fences.apply(Fence{Key: fenceOf("_none._tcp", 3, 0).Key}) // it was not remembered
	for service, want := range map[string]int{"": 3*fencePage - 1, "_math._tcp": 2*fencePage - 1, "_time._tcp": fencePage, "_none._tcp": 0} {
		_, got := r.Fences(service)
		if len(got) != want || r.FencesOf(service) != want {
			t.Errorf("%q: %d fences, counted as %d, want %d", service, len(got), r.FencesOf(service), want)
		}
		seen := make(map[Key]bool)
		for _, f := range got {
			if seen[f.Key] || service != "" && f.Service != service {
				t.Fatalf("%q: %v is there", service, f.Key)
			}
			seen[f.Key] = true
		}
		if service == "_math._tcp" && (got[0].ID != "a0" || got[len(got)-1].ID != "a7") {
			t.Errorf("from %v to %v, want the oldest first", got[0], got[len(got)-1])
		}
	}
	twice := lastOfEach([]Fence{fenceOf("_math._tcp", 1, 1), fenceOf("_math._tcp", 2, 1), fenceOf("_math._tcp", 1, 2)})
	if len(twice) != 2 || twice[0].ID != "a2" || twice[1].Incarnation != 2 {
		t.Errorf("%v", twice)
	}
}
