package rpcclient

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// word makes a state of the Source from "a b c", or from the reason for none.
func word(text string) *resolver.State {
	switch text {
	case "NXDOMAIN":
		return &resolver.State{Err: &resolver.Error{Name: "_math._tcp.svc.", Type: "SRV", Rcode: text, Err: resolver.ErrNoSuchName}}
	case "not offered":
		return &resolver.State{Err: &resolver.Error{Name: "_math._tcp.svc.", Type: "SRV", Err: resolver.ErrNotOffered}}
	case "unanswered":
		return &resolver.State{Err: errors.New("i/o timeout")}
	}
	s := &resolver.State{}
	for addr := range strings.FieldsSeq(text) {
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addr: addr, Target: addr + ".svc.", Priority: 10, Weight: 1})
	}
	return s
}

func TestRosterBelievesWhatCanBeTrue(t *testing.T) {
	for _, c := range []struct {
		name  string
		words []string // states, one a second
		down  string   // nodes that do not work
		want  string   // nodes in use after the last state; in brackets those in reserve
		later string   // the same after the time of linger
	}{
		{"one of two leaves", []string{"a b", "a"}, "", "a", "a"},
		{"half leave", []string{"a b c d", "a b"}, "", "a b", "a b"},
		{"more than half leave at once", []string{"a b c d", "a"}, "", "a b c d", "a"},
		{"those of them that are down", []string{"a b c d", "a"}, "b c", "a d", "a"},
		{"all leave", []string{"a b", "NXDOMAIN"}, "", "a b", ""},
		{"all leave, without a reason", []string{"a b", ""}, "", "a b", ""},
		{"and are down", []string{"a b", "NXDOMAIN"}, "a b", "", ""},
		{"one by one", []string{"a b c d", "a b c", "a b", "a"}, "", "a", "a"},
		{"the last one", []string{"a b", "a", "NXDOMAIN"}, "", "a", ""},
		{"decidedly", []string{"a b c", "not offered"}, "", "", ""},
		{"replaced by as many", []string{"a b", "c d"}, "", "c d", "c d"},
		{"replaced by as many that do not work", []string{"a b", "c d"}, "c d", "(a) (b) c d", "c d"},
		{"replaced by too few", []string{"a b c", "d"}, "", "a b c d", "d"},
		{"a registry without memory comes back", []string{"a b c d e", "NXDOMAIN", "a", "a c", "a b c e"}, "", "a b c d e", "a b c e"},
		{"nobody answers", []string{"a b c", "unanswered"}, "b", "a c", "a c"},
		{"an empty answer, and then none", []string{"a b c", "NXDOMAIN", "unanswered"}, "", "a b c", "a b c"},
		{"and then an answer with fewer", []string{"a b c d", "unanswered", "a"}, "", "a b c d", "a"},
		{"and then an answer with most", []string{"a b c d", "unanswered", "a b c"}, "", "a b c", "a b c"},
	} {
		r := roster{linger: 30 * time.Second}
		up := func(addr string) bool { return !slices.Contains(strings.Fields(c.down), addr) }
		use := func() string {
			var out []string
			for _, ep := range r.endpoints() {
				if ep.Priority == 65535 {
					ep.Addr = "(" + ep.Addr + ")"
				}
				out = append(out, ep.Addr)
			}
			slices.Sort(out)
			return strings.Join(out, " ")
		}
		now := time.Unix(1e9, 0)
		for _, w := range c.words {
			now = now.Add(time.Second)
			r.take(word(w), now, up)
			r.prune(now, up)
		}
		if got := use(); got != c.want {
			t.Errorf("%s: in use %q, want %q", c.name, got, c.want)
		}
		for range 100 { // as the timer does
			at := r.next(now)
			if at.IsZero() {
				break
			}
			now = at
			r.prune(now, up)
		}
		if got := use(); got != c.later {
			t.Errorf("%s: in use later %q, want %q", c.name, got, c.later)
		}
		if hopeless := c.later == ""; r.hopeless(now.Add(time.Hour)) != hopeless {
			t.Errorf("%s: hopeless is %v", c.name, !hopeless)
		}
	}
}

func TestNameThatNeverWasIsHopelessAtOnceAndOneThatWasAfterALinger(t *testing.T) {
	now := time.Unix(1e9, 0)
	down := func(string) bool { return false }
	r := roster{linger: 30 * time.Second}
	r.take(word("NXDOMAIN"), now, down)
	if !r.hopeless(now) {
		t.Error("a name that never was is waited for")
	}
	r.take(word("a"), now, down)
	r.take(word("NXDOMAIN"), now, down)
	if r.hopeless(now.Add(29 * time.Second)) {
		t.Error("given up although its registry may have been restarted")
	}
	r.take(word("unanswered"), now, down)
	if r.hopeless(now.Add(time.Hour)) {
		t.Error("given up though nobody says that it is gone")
	}
	r.take(word("NXDOMAIN"), now, down)
	if !r.hopeless(now.Add(30 * time.Second)) {
		t.Error("waited for though it is gone for good")
	}
}

// word makes the client's Source yield a state.
func (a *announcer) word(text string) {
	s := *word(text)
	s.Confirmed, s.TTL = time.Now(), time.Second
	a.states <- s
}
