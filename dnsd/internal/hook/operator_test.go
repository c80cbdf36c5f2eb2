package hook

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/register"
)

func TestDrainSurvivesRenewals(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	for range 2 {
		a := h.do("PUT", a1+"/drain", "")
		if p := decode[register.Published](t, a); a.status != 200 || p.State != register.InstanceDrained {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if p := h.put(a1, `{"port":1}`); p.State != register.InstanceDrained {
		t.Errorf("after a renewal: %s", p.State)
	}
	a := h.do("DELETE", a1+"/drain", "")
	if p := decode[register.Published](t, a); a.status != 200 || p.State != register.InstanceUp {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, method := range []string{"PUT", "DELETE"} {
		if a := h.do(method, "/v1/services/_math._tcp/instances/zz/drain", ""); a.status != http.StatusNotFound {
			t.Errorf("unknown: %d", a.status)
		}
	}
}

// An instance drains itself by its registration, and an operator does not end that.
func TestDrainOfTheInstance(t *testing.T) {
	h := start(t, nil)
	expect := func(what string, p register.Published, by ...string) {
		t.Helper()
		state := register.InstanceUp
		if len(by) > 0 {
			state = register.InstanceDrained
		}
		if p.State != state || !slices.Equal(p.DrainedBy, by) {
			t.Errorf("%s: %s by %q, want %s by %q", what, p.State, p.DrainedBy, state, by)
		}
	}
	operator := func(method string) register.Published {
		t.Helper()
		a := h.do(method, a1+"/drain", "")
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return decode[register.Published](t, a)
	}
	expect("drain", h.put(a1, `{"port":1,"drain":true}`), "instance")
	expect("drain said again", h.put(a1, `{"port":1,"drain":true}`), "instance")
	expect("undrain by an operator", operator("DELETE"), "instance")
	expect("drain by both", operator("PUT"), "operator", "instance")
	expect("undrain by the instance", h.put(a1, `{"port":1}`), "operator")
	expect("drain by the instance again", h.put(a1, `{"port":1,"drain":true}`), "operator", "instance")
	expect("undrain by an operator", operator("DELETE"), "instance")
	expect("undrain by both", h.put(a1, `{"port":1,"drain":false}`))
	if a := h.do("PUT", a1, `{"port":1,"drain":1}`); a.status != 400 || a.problem(t).Field != "drain" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A sticky drain outlives the instance, and the answer to the next PUT shows it.
func TestStickyDrainSurvivesTheInstance(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1,"incarnation":1}`)
	a := h.do("PUT", a1+"/drain?sticky=1", "")
	if p := decode[register.Published](t, a); a.status != 200 || p.State != register.InstanceDrained || !p.Sticky {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.do("DELETE", a1, "")
	if p := h.put(a1, `{"port":2,"incarnation":2}`); p.State != register.InstanceDrained || !p.Sticky {
		t.Errorf("it came back as %+v", p)
	}
	h.do("DELETE", a1, "")
	if a := h.do("DELETE", a1+"/drain", ""); a.status != http.StatusNoContent {
		t.Errorf("lifted while it is away: %d %s", a.status, a.body)
	}
	if p := h.put(a1, `{"port":2,"incarnation":3}`); p.State != register.InstanceUp || p.Sticky {
		t.Errorf("then it came back as %+v", p)
	}
	h.do("PUT", a1+"/drain", "")
	h.do("DELETE", a1, "")
	if p := h.put(a1, `{"port":2,"incarnation":4}`); p.State != register.InstanceUp {
		t.Errorf("a drain that is not sticky survived: %+v", p)
	}
	if a := h.do("PUT", a1+"/drain?sticky=maybe", ""); a.status != 400 || a.problem(t).Field != "sticky" {
		t.Errorf("%d %s", a.status, a.body)
	}
	eventually(t, "the audit says sticky", func() bool { return strings.Contains(h.audit.String(), `result="drained, sticky"`) })
}

// A host whose clock was ahead has left a fence, which an admin clears.
func TestFenceIsClearedByAnAdmin(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1,"incarnation":50}`)
	if a := h.do("DELETE", a1+"/fence", ""); a.status != http.StatusNotFound {
		t.Errorf("nothing to clear: %d %s", a.status, a.body)
	}
	h.do("DELETE", a1, "")
	a := h.do("PUT", a1, `{"port":1,"incarnation":20}`)
	if p := a.problem(t); p.Status != 409 || strings.Contains(p.Detail, "lives") || !strings.Contains(p.Detail, "/fence") {
		t.Errorf("%+v", p)
	}
	if a := h.do("DELETE", a1+"/fence", ""); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	h.put(a1, `{"port":1,"incarnation":20}`)
}

func TestGuardIsReleased(t *testing.T) {
	h := start(t, nil)
	for _, path := range []string{"/v1/guard", "/v1/services/_math._tcp/guard"} {
		if a := h.do("DELETE", path, ""); a.status != http.StatusNoContent {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := h.do("DELETE", "/v1/services/math/guard", ""); a.status != 400 || a.problem(t).Field != "service" {
		t.Errorf("bad name: %d %s", a.status, a.body)
	}
}
