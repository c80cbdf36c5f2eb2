package verbs

import (
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
	if err := f.write(&out, "http://x", 2); err != nil {
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
