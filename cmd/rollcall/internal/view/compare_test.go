package view

import (
	"strings"
	"testing"
)

func TestDifferencesAreFound(t *testing.T) {
	a1 := Instance{Target: "a1.", Port: 1, Addrs: []string{"10.0.0.1"}}
	a2 := Instance{Target: "a2.", Port: 2, Addrs: []string{"10.0.0.2"}}
	homeless := Instance{Target: "a3.", Port: 3}
	nowhere := Instance{Target: "."}
	good := func(server string, serial uint32, in ...Instance) Answer {
		return Answer{Server: server, Rcode: "NOERROR", Serial: &serial, Instances: in}
	}
	for name, tc := range map[string]struct {
		answers     []Answer
		differences string
		notes       string
		instances   int
		notFound    bool
	}{
		"equal":       {[]Answer{good("x", 7, a1, a2), good("y", 7, a2, a1)}, "", "", 2, false},
		"one lacks":   {[]Answer{good("x", 7, a1, a2), good("y", 5, a1)}, "y lacks 1 of 2 instances", "y is 2 changes behind", 2, false},
		"round":       {[]Answer{good("x", 1, a1), good("y", 1<<32-1, a1)}, "", "y is 2 changes behind", 1, false},
		"silent":      {[]Answer{{Server: "x", Error: "refused"}, good("y", 7, a1)}, "x does not answer: refused", "", 1, false},
		"refused":     {[]Answer{{Server: "x", Rcode: "REFUSED"}}, "x answers REFUSED: it is not responsible for the name; does it have to forward the zone to dnsd?", "", 0, false},
		"fails":       {[]Answer{{Server: "x", Rcode: "SERVFAIL", Notes: []string{"not ready"}}}, "x answers SERVFAIL", "x: not ready", 0, false},
		"other":       {[]Answer{good("x", 7, a1), {Server: "y", Rcode: "NXDOMAIN"}}, "y answers NXDOMAIN, and x answers NOERROR", "", 1, false},
		"none":        {[]Answer{{Server: "x", Rcode: "NXDOMAIN"}, {Server: "y", Rcode: "NXDOMAIN"}}, "", "", 0, true},
		"homeless":    {[]Answer{good("x", 7, homeless)}, "no server has an address of a3.", "", 1, false},
		"not offered": {[]Answer{good("x", 7, nowhere)}, "", `the target "." means that the service is not offered`, 1, false},
	} {
		c := Compare(tc.answers)
		if d, n := strings.Join(c.Differences, "; "), strings.Join(c.Notes, "; "); d != tc.differences || n != tc.notes || len(c.Instances) != tc.instances || c.NotFound() != tc.notFound {
			t.Errorf("%s: differences %q, notes %q, %d instances, not found %v", name, d, n, len(c.Instances), c.NotFound())
		}
	}
}
