package verbs

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRatesAreThoseBetweenTwoFrames(t *testing.T) {
	before := &frame{Time: noon, counters: map[string]float64{"queries": 100, "renewed": 50}}
	f := &frame{Time: noon.Add(2 * time.Second), counters: map[string]float64{"queries": 125, "renewed": 7}}
	f.rate(before)
	if r := f.Rates["queries"]; r == nil || *r != 12.5 {
		t.Errorf("queries: %v", r)
	}
	if r := f.Rates["renewed"]; r != nil {
		t.Errorf("a counter that went back has the rate %v", *r)
	}
	before.rate(nil)
	if r := before.Rates["queries"]; r != nil {
		t.Errorf("the first frame has the rate %v", *r)
	}
}

func TestAFrameFitsTheScreen(t *testing.T) {
	r := 12.5
	f := &frame{
		Time: noon, Revision: 7, Instances: map[string]float64{"up": 2, "suspect": 1}, Rates: map[string]rate{"queries": &r},
		Services: []count{{"_math._tcp", 3, map[string]int{"up": 2, "suspect": 1}}, {"_big._tcp", 30_000, nil}, {"_c._tcp", 1, nil}},
	}
	var out strings.Builder
	if err := f.write(&out, "http://x", screen{height: 9}); err != nil {
		t.Fatal(err)
	}
	want := `12:00:00  http://x  revision 7
3 services, instances: 2 up, 0 unconfirmed, 1 suspect, 0 drained
a second: queries 12.5, registered -, renewed -, deregistered -, expired -, requests -

SERVICE     INSTANCES  UP  UNCONFIRMED  SUSPECT  DRAINED
_math._tcp  3          2   0            1        0
_big._tcp   30000      -   -            -        -
and 1 more
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

// TestAFrameFitsEveryScreen: nothing is wider or higher, so nothing scrolls away, and the
// numbers of the services are there.
func TestAFrameFitsEveryScreen(t *testing.T) {
	r := 123456.7
	f := &frame{Time: noon, Revision: 28060985599, Instances: map[string]float64{}, Rates: map[string]rate{}}
	for _, s := range states {
		f.Instances[string(s)] = 20_000
	}
	for _, c := range counters {
		f.Rates[c.word] = &r
	}
	for i := range 50 {
		f.Services = append(f.Services, count{fmt.Sprintf("_service-with-a-name-%d._tcp", i), 1000, map[string]int{"up": 998, "suspect": 1, "unconfirmed": 1}})
	}
	for _, room := range []screen{{80, 24}, {40, 24}, {60, 15}, {200, 60}, {72, 14}} {
		var out strings.Builder
		if err := f.write(&out, "https://dnsd.a-long-domain.example.com:8053", room); err != nil {
			t.Fatal(err)
		}
		all := strings.Split(out.String(), "\n") // the last one is where the cursor is
		if len(all) > room.height {
			t.Errorf("%v: %d lines", room, len(all))
		}
		for _, line := range all {
			if len(line) > room.width {
				t.Errorf("%v: a line of %d: %q", room, len(line), line)
			}
		}
		if n := strings.Count(out.String(), " 998 "); n == 0 || room.height > 20 && n < 8 {
			t.Errorf("%v: %d services\n%s", room, n, &out)
		}
	}
}
