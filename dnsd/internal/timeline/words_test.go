package timeline

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// with returns in with a change.
func with(i *registry.Instance, change func(*registry.Instance)) *registry.Instance {
	c := *i
	change(&c)
	return &c
}

// Every word that is declared is in the list, and no other.
func TestKindsAreAllWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "words.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, d := range file.Decls {
		block, ok := d.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST || block.Lparen == token.NoPos { // the words are one block
			continue
		}
		for _, spec := range block.Specs {
			for _, v := range spec.(*ast.ValueSpec).Values {
				word, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				declared = append(declared, word)
			}
		}
	}
	kinds := Kinds()
	slices.Sort(declared)
	slices.Sort(kinds)
	if len(kinds) == 0 || !slices.Equal(declared, kinds) {
		t.Errorf("Kinds has %q, and declared are %q", kinds, declared)
	}
}

func TestWordsForEachChange(t *testing.T) {
	a := in("_math._tcp", "a1")
	state := func(s registry.State) *registry.Instance { return with(a, func(i *registry.Instance) { i.State = s }) }
	wants := with(a, func(i *registry.Instance) { i.Drain = true })
	for _, c := range []struct {
		change         registry.Change
		what, who, why string // why: the beginning
	}{
		{registry.Change{New: a}, Registered, "", "at 10.0.0.7:9001, weight 0"},
		{registry.Change{New: state(registry.Drained), Cause: registry.Restored}, Registered, "", "at 10.0.0.7:9001, weight 0, from a snapshot or another store, drained"},
		{registry.Change{Old: a, Cause: registry.Silent}, Expired, "dnsd", "no renewal for its lease of 15s"},
		{registry.Change{Old: a, Cause: registry.Quiet}, Expired, "dnsd", "it was a suspect, and did not renew"},
		{registry.Change{Old: a, Cause: registry.Freed}, Expired, "dnsd", "it was a suspect, and an operator released"},
		{registry.Change{Old: a, Cause: registry.Refused}, RefusedCall, "dnsd", "its host refuses connections to 10.0.0.7:9001"},
		{registry.Change{Old: a}, Removed, "", "it was deregistered"},
		{registry.Change{Old: a, Cause: registry.Followed}, Removed, "", "the writer decided it"},
		{registry.Change{Old: a, New: state(registry.Drained)}, Drained, "", "by an operator"},
		{registry.Change{Old: a, New: wants}, Drained, "", "the instance asked"},
		{registry.Change{Old: wants, New: a}, Undrained, "", "the instance asked"},
		{registry.Change{Old: state(registry.Drained), New: a}, Undrained, "", "by an operator"},
		{registry.Change{Old: a, New: state(registry.Suspect), Cause: registry.Crowd}, Suspected, "dnsd", "its lease ended; the guard keeps it, because too many"},
		{registry.Change{Old: a, New: state(registry.Suspect), Cause: registry.Deaf}, Suspected, "dnsd", "its lease ended; the guard keeps it, because no instance"},
		{registry.Change{Old: a, New: state(registry.Suspect), Cause: registry.Trial}, Suspected, "dnsd", "its lease ended; it is kept for one more"},
		{registry.Change{Old: a, New: state(registry.Suspect), Cause: registry.TooMany}, Suspected, "dnsd", "its host refuses connections; the guard"},
		{registry.Change{Old: state(registry.Suspect), New: state(registry.Suspect), Cause: registry.Ranked}, Suspected, "dnsd", "it is published after"},
		{registry.Change{Old: a, New: state(registry.Suspect), Cause: registry.Followed}, Suspected, "", "the writer decided it"},
		{registry.Change{Old: state(registry.Suspect), New: a}, RenewedLate, "the instance", "it was a suspect"},
		{registry.Change{Old: a, New: with(a, func(i *registry.Instance) { i.Incarnation, i.Port = 7, 1 })}, Replaced, "", "a newer process has its id; address 10.0.0.7:9001 → 10.0.0.7:1"},
		{registry.Change{Old: a, New: with(a, func(i *registry.Instance) { i.Priority, i.TTL, i.Lease = 1, time.Second, time.Minute })}, Changed, "", "priority 0 → 1; ttl 0s → 1s; lease 15s → 1m0s"},
		{registry.Change{Old: a, New: with(a, func(i *registry.Instance) { i.Meta = map[string]string{"b": "2", "a": "<img>"} })}, Changed, "", `a none → "<img>"; b none → "2"`},
	} {
		got := describe([]record{{Change: c.change}})[0]
		if !slices.Contains(Kinds(), got.What) {
			t.Errorf("%q is not in the list of kinds", got.What)
		}
		if got.What != c.what || got.Who != c.who || !strings.HasPrefix(got.Why, c.why) || got.ID != "a1" || got.Service != "_math._tcp" {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	if got := describe([]record{{Change: registry.Change{Old: a}, who: Self}})[0]; !strings.HasPrefix(got.Why, "its heartbeats ended") {
		t.Errorf("%+v", got)
	}
	long := with(a, func(i *registry.Instance) { i.Meta = map[string]string{"k": strings.Repeat("é", 400)} })
	if got := describe([]record{{Change: registry.Change{Old: a, New: long}}})[0].Why; len(got) > mostWhy+len("…") {
		t.Errorf("%d octets of a reason", len(got))
	}
}
