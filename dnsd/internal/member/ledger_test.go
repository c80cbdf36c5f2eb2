package member

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// ledger is what clients know: what was acknowledged, and what may have been done.
type ledger struct {
	t testing.TB

	mu      sync.Mutex
	weight  uint16              // of the last registration: each is different
	states  map[string][]string // of each id, what it may be: the weight, or "" if it is gone
	ended   []uint64            // the revisions of the changes that were acknowledged, in that order
	highest uint64
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, states: map[string][]string{}}
}

// write does one request to a node. dead says that its process has died, so nothing that
// it says is heard.
func (l *ledger) write(ctx context.Context, n *node, id string, removes bool, dead func() bool) {
	l.mu.Lock()
	before := l.highest
	in := registration(id)
	want := ""
	if !removes {
		l.weight++
		in.Weight = l.weight
		want = fmt.Sprint(in.Weight)
	}
	l.mu.Unlock()
	var got registry.Receipt
	var err error
	if removes {
		got, err = n.reg.Deregister(ctx, in.Key, nil)
	} else {
		got, err = n.reg.Register(ctx, in)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(n.log, "%s: %s -> %q: %v, %v\n", time.Now().Format("05.000"), id, want, got.Revision, err)
	if l.states[id] == nil {
		l.states[id] = []string{""}
	}
	switch {
	case dead != nil && dead():
		l.states[id] = append(l.states[id], want)
	case err == nil:
		l.states[id] = []string{want}
		if got.Revision <= before {
			l.t.Errorf("%s: %s is acknowledged at revision %d, and %d was acknowledged before it began", n.name, id, got.Revision, before)
		}
		l.highest = max(l.highest, got.Revision)
		l.ended = append(l.ended, got.Revision)
	case errors.Is(err, registry.ErrUncertain):
		l.states[id] = append(l.states[id], want)
	case errors.Is(err, registry.ErrNotWriter), errors.Is(err, registry.ErrNotFound), errors.Is(err, registry.ErrNoSpace), errors.Is(err, context.Canceled):
		// nothing was done; a request that was taken back was not begun
	case errors.Is(err, registry.ErrStore):
		// nothing was done
	default:
		l.t.Errorf("%s: %s: %v", n.name, id, err)
	}
}

// check compares what a node has with what it may have. Afterwards that is known.
func (l *ledger) check(n *node) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := map[string]string{}
	for in := range n.reg.Content().Instances {
		now[in.ID] = fmt.Sprint(in.Weight)
	}
	for id, may := range l.states {
		if !slices.Contains(may, now[id]) {
			l.t.Errorf("%s: %s is %q, and may be %q", n.name, id, now[id], may)
		}
		l.states[id] = []string{now[id]}
		delete(now, id)
	}
	for id, weight := range now {
		l.t.Errorf("%s: %s is %q, and was never registered", n.name, id, weight)
	}
	if n.reg.Revision() < l.highest {
		l.t.Errorf("%s: at revision %d, and %d was acknowledged", n.name, n.reg.Revision(), l.highest)
	}
	seen := map[uint64]bool{}
	for _, r := range l.ended {
		if seen[r] {
			l.t.Errorf("revision %d was acknowledged twice", r)
		}
		seen[r] = true
	}
}

// chronicle is what each revision was and had in it, whichever member said so, in
// whichever life.
type chronicle struct {
	mu      sync.Mutex
	whole   map[uint64]string // everything at a revision
	changes map[uint64]string // what changed at a revision
	gaps    bool              // revisions may be used up without a change
}

func newChronicle() *chronicle {
	return &chronicle{whole: map[uint64]string{}, changes: map[uint64]string{}}
}

// note compares what a node has with what others had at the same revision, in any life.
func (c *chronicle) note(t testing.TB, n *node) {
	t.Helper()
	if !n.reg.Loaded() {
		return
	}
	content := n.reg.Content()
	text := contentText(content)
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := c.whole[content.Revision]; ok && was != text {
		t.Errorf("revision %d was\n%s\nand is at %s\n%s", content.Revision, was, n.name, text)
	}
	c.whole[content.Revision] = text
}

// tape is a sink that compares each change of a node with the chronicle.
type tape struct {
	t    testing.TB
	c    *chronicle
	node *node
	at   uint64
}

// Load implements registry.Sink.
func (s *tape) Load(revision uint64, _ iter.Seq[*registry.Instance], _ []registry.Change) {
	if revision < s.at {
		s.t.Errorf("%s goes from revision %d back to %d", s.node.name, s.at, revision)
	}
	s.at = revision
}

// Apply implements registry.Sink.
func (s *tape) Apply(changes []registry.Change) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for i := range changes {
		c := &changes[i]
		if c.Revision != s.at+1 && !(s.c.gaps && c.Revision > s.at) {
			s.t.Errorf("%s goes from revision %d to %d", s.node.name, s.at, c.Revision)
		}
		s.at = c.Revision
		text := "removes " + c.Key().String()
		if c.New != nil {
			text = string(encode(registry.NewRecord(c.New)))
		}
		if was, ok := s.c.changes[c.Revision]; ok && was != text {
			s.t.Errorf("revision %d was %s, and is at %s %s", c.Revision, was, s.node.name, text)
		}
		s.c.changes[c.Revision] = text
	}
}

// record lets the chronicle hear every change of a node.
func (c *chronicle) record(t testing.TB, n *node) *node {
	n.reg.Attach(&tape{t: t, c: c, node: n})
	return n
}
