package history

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// plain is a history without a fault, with everything in it. The comments are the
// revisions.
func plain() *History {
	w := newWorld()
	w.do(Read, 0, "a")
	w.do(Register, 0, "a") // op 1: 101 v1
	w.do(Register, 1, "b") // op 2: 102 v2
	w.do(Query, 1, "b")    // op 3
	w.do(Register, 0, "a") // op 4: 103 v3
	w.do(Drain, 1, "a")    // op 5: 104
	w.do(Query, 1, "a")    // op 6: not there
	w.do(Register, 1, "a") // op 7: 105 v4, drained
	w.do(Read, 1, "a")     // op 8
	w.do(Undrain, 0, "a")  // op 9: 106
	w.do(Undrain, 0, "a")  // op 10: nothing changes
	w.do(List, 0, "")      // op 11: at 106
	w.h.Transfers = append(w.h.Transfers, w.transfer(0), w.transfer(1))
	w.do(Renew, 0, "b")      // op 12
	w.do(Deregister, 0, "b") // op 13: 107
	w.do(Deregister, 1, "b") // op 14: not there
	w.do(Renew, 1, "b")      // op 15: not there
	w.do(Read, 1, "b")       // op 16: not there
	w.do(Register, 0, "b")   // op 17: 108 v5
	w.do(List, 1, "")        // op 18
	w.do(Read, 0, "a")       // op 19
	w.do(Query, 0, "b")      // op 20
	return w.finish()
}

func TestHistoryWithoutAFaultIsRight(t *testing.T) {
	if err := plain().Check(); err != nil {
		t.Error(err)
	}
	// An instance that was there at the beginning has an older revision.
	w := newWorld()
	w.do(Register, 0, "a")
	old := w.there["a"]
	w = newWorld()
	w.there["a"] = old
	for i := range w.h.Streams {
		w.h.Streams[i].Parts[0].Since, w.h.Streams[i].Parts[0].ListedAt = 200, 200
		w.h.Streams[i].Parts[0].Listed = w.listed()
	}
	w.revision = 200
	w.do(Undrain, 0, "a")
	w.do(Drain, 0, "a")
	if err := w.finish().Check(); err != nil {
		t.Error(err)
	}
	h := plain()
	// What a cluster may do: a request without an answer that was done, or not; a read of
	// another dnsd that is late; a watcher that begins again.
	h.Ops[17].Outcome, h.Ops[17].Seen = Unknown, Instance{}
	h.Ops = append(h.Ops,
		&Op{Kind: Register, ID: "a", Value: "never", Outcome: Unknown, Call: time.Millisecond, Return: 2 * time.Millisecond},
		&Op{Kind: Register, ID: "a", Value: "refused", Outcome: Refused, Call: time.Millisecond, Return: 2 * time.Millisecond})
	late := *h.Ops[8]
	late.At, late.Seen, late.Call, late.Return = 0, events(h, 0)[2].Instance, h.Ops[8].Call, h.Ops[8].Return
	h.Ops = append(h.Ops, &late)
	p := h.Streams[1].Parts[0]
	listed := h.Ops[11].Listed
	h.Streams[1].Parts = []Part{
		{At: 1, Life: p.Life, Since: p.Since, Whole: true, ListedAt: p.ListedAt, Events: p.Events[:2]},
		{At: 0, Life: p.Life, Since: 102, Events: p.Events[2:4]},
		{At: 1, Life: p.Life, Since: 106, Whole: true, Listed: listed, ListedAt: 106, Events: p.Events[6:]},
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
}

// TestRequestsMayBeDoneTwiceBeforeTheyAreAnswered: the first attempt at v1 was done, but
// the dnsd that passed it on was not told.
func TestRequestsMayBeDoneTwiceBeforeTheyAreAnswered(t *testing.T) {
	w := newWorld()
	first := w.do(Register, 0, "a") // v1
	drain := w.do(Drain, 1, "a")
	w.do(Undrain, 1, "a")
	w.do(Register, 1, "a")
	w.do(Deregister, 1, "a")
	again := *first
	w.apply(&again)
	w.now += time.Millisecond
	first.Seen, first.Return = again.Seen, w.now
	w.do(Deregister, 1, "a")
	twice := *w.h.Ops[len(w.h.Ops)-1]
	w.h.Ops = append(w.h.Ops, &twice)
	h := w.finish()
	if drain.Seen.Value != first.Value {
		t.Fatalf("%v", drain)
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	h.Once = true
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), "a becomes v1 at 106 again") {
		t.Errorf("once: %v", err)
	}
	h.Once = false
	twice.Call = twice.Return + time.Millisecond
	twice.Return = twice.Call + time.Millisecond
	if err := h.Check(); err == nil || !strings.Contains(err.Error(), "no order of the requests explains the answers about a") {
		t.Errorf("removed twice, one after the other: %v", err)
	}
}

// TestChangesMayBeMadeTwiceBeforeTheyAreAnswered: the first attempt was done, but the dnsd
// that passed it on was not told, and passed it on to the next writer. If the request is
// answered before the second change, no request explains that.
func TestChangesMayBeMadeTwiceBeforeTheyAreAnswered(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(w *world) *Op
		found bool
		early time.Duration // the end of the request, too early
		says  string
	}{
		{"an instance, and the one after it, are removed", func(w *world) *Op {
			w.do(Register, 0, "a")
			w.do(Drain, 0, "a")
			o := w.twice(Deregister, 1, "a", func() {
				w.do(Register, 0, "a") // it is not drained
				w.do(Register, 0, "a")
			})
			w.do(Undrain, 0, "a") // it is not there
			return o
		}, true, 6 * time.Millisecond, "a: no client asked for the deregister at revision 106"},
		{"what was removed is not there any more", func(w *world) *Op {
			w.do(Register, 0, "a")
			return w.twice(Deregister, 1, "a", func() {})
		}, false, 0, "a: no client asked for the deregister at revision 102"},
		{"and then the next one is removed by another client", func(w *world) *Op {
			w.do(Register, 0, "a")
			w.do(Drain, 0, "a")
			return w.twice(Deregister, 1, "a", func() {
				w.do(Register, 0, "a")
				w.do(Deregister, 0, "a")
			})
		}, false, 0, "a: no client asked for the deregister at revision 103"},
		{"a drain", func(w *world) *Op {
			w.do(Register, 0, "a")
			return w.twice(Drain, 1, "a", func() {
				w.do(Register, 0, "a") // it is drained
				w.do(Undrain, 0, "a")
			})
		}, true, 4 * time.Millisecond, "no order of the requests explains the answers about a"},
		{"a drain of what is gone", func(w *world) *Op {
			w.do(Register, 0, "a")
			return w.twice(Drain, 1, "a", func() {
				w.do(Register, 0, "a") // it is drained
				w.do(Deregister, 0, "a")
			})
		}, false, 0, "a: no client asked for the drain at revision 102"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			o := c.do(w)
			h := w.finish()
			if err := h.Check(); err != nil || o.Found != c.found {
				t.Errorf("%v: %v", o, err)
			}
			h.Once = true // a repeat may be told that there is nothing any more
			if err := h.Check(); (err == nil) == c.found {
				t.Errorf("once: %v", err)
			}
			h.Once = false
			if o.Return = c.early; c.early == 0 {
				o.Call = time.Hour // the change was before
				o.Return = o.Call + 1
			}
			if err := h.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("without %q:\n%v", c.says, err)
			}
		})
	}
}

// TestWrongHistoriesAreFound: each is the history without a fault, but for one thing.
func TestWrongHistoriesAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(h *History)
		says string
	}{
		{"an acknowledged change is lost", func(h *History) {
			h.Ops = append(h.Ops, &Op{Kind: Register, ID: "c", Value: "v9", Found: true, Seen: Instance{Value: "v9", Revision: 109}, Call: time.Second, Return: 2 * time.Second})
		}, "no watcher saw this revision"},
		{"and so at the end", func(h *History) {
			h.Ops = append(h.Ops, &Op{Kind: Register, ID: "c", Value: "v9", Found: true, Seen: Instance{Value: "v9", Revision: 109}, Call: time.Second, Return: 2 * time.Second})
		}, "dnsd 1 has lost what was acknowledged: client 0 at dnsd 0: register c=v9"},
		{"and a removal that found nothing is no excuse", func(h *History) {
			for i := range h.Finals {
				h.Finals[i].Listed = h.Finals[i].Listed[1:]
			}
			h.Ops = append(h.Ops, &Op{Kind: Deregister, ID: "a", Call: time.Second, Return: 2 * time.Second})
		}, "dnsd 1 has lost what was acknowledged: client 0 at dnsd 1: register a=v4"},
		{"a change is answered with another revision", func(h *History) { h.Ops[4].Seen.Revision = 102 }, "the change at this revision is another one"},
		{"an answer is another value", func(h *History) { h.Ops[4].Value = "v9" }, "the answer is not what was asked for"},
		{"a later change has a lower revision", func(h *History) {
			h.Ops[2].Call, h.Ops[2].Return = time.Second, 2*time.Second
		}, "a later change has a lower revision"},
		{"two changes have one revision", func(h *History) {
			twice := *h.Ops[4]
			h.Ops = append(h.Ops, &twice)
		}, "two changes have one revision"},
		{"what was refused is done", func(h *History) { h.Ops[4].Outcome = Refused }, "a becomes v3 at 103, which was refused"},
		{"what was never asked for is done", func(h *History) { h.Ops = slices.Delete(h.Ops, 4, 5) }, "a becomes v3 at 103, for which no client asked"},
		{"it is done before it is asked for", func(h *History) {
			h.Ops[4].Outcome, h.Ops[4].Call, h.Ops[4].Return = Unknown, time.Minute, time.Hour
		}, "before it was asked for"},
		{"a removal that no client asked for", func(h *History) { h.Ops[13].Outcome = Refused }, "b: no client asked for the deregister at revision 107"},
		{"a removal that did not happen", func(h *History) { h.Ops[14].Found = true }, "no order of the requests explains the answers about b"},
		{"nor before", func(h *History) {
			h.Ops[14].Found, h.Ops[13].Outcome = true, Refused
			edit(h, func(e *Event) { e.Time = time.Microsecond })
		}, "b was not removed: client 0 at dnsd 1: deregister b"},
		{"an old removal is done again", func(h *History) {
			h.Ops[13].Call, h.Ops[13].Return = 0, 1
		}, "b: no client asked for the deregister at revision 107"},
		{"a drain that no client asked for", func(h *History) { h.Ops[5].Outcome = Refused }, "a: no client asked for the drain at revision 104"},
		{"a request is done twice", func(h *History) {
			edit(h, func(e *Event) {
				if e.Revision == 105 {
					e.Instance.Value, e.Instance.Rest = "v1", "weight v1"
				}
			})
		}, "becomes v1 drained at 105 again, after the answer"},
		{"a lease ends", func(h *History) { edit(h, func(e *Event) { e.State = "suspect" }) }, "b is suspect at revision 102: no lease of it has ended"},
		{"a watcher misses a change", func(h *History) {
			h.Streams[1].Parts[0].Events = slices.Delete(events(h, 1), 3, 4)
		}, "watcher 1, at dnsd 1: got revision 105 of life 00000000000000aa, expected 104"},
		{"all watchers miss a change", func(h *History) {
			for i := range h.Streams {
				h.Streams[i].Parts[0].Events = slices.Delete(events(h, i), 3, 4)
			}
		}, "no watcher saw the change at revision 104"},
		{"a watcher gets a change twice", func(h *History) {
			h.Streams[1].Parts[0].Events = slices.Insert(events(h, 1), 3, events(h, 1)[3])
		}, "got revision 104 of life 00000000000000aa, expected 105"},
		{"a watcher gets another change", func(h *History) {
			h.Streams[1].Parts[0].Events = slices.Clone(events(h, 1))
			h.Streams[1].Parts[0].Events[3].Data = "{}"
		}, "two watchers saw different changes at revision 104"},
		{"a watcher stays behind", func(h *History) {
			h.Streams[1].Parts[0].Events = events(h, 1)[:6]
		}, "watcher 1 has come to revision 106 of life \"00000000000000aa\"; the registry is at 108"},
		{"a watcher begins again with another state", func(h *History) {
			h.Streams[1].Parts = append(h.Streams[1].Parts, Part{At: 1, Life: worldLife, Since: 108, Whole: true, Listed: h.Finals[0].Listed[1:], ListedAt: 108})
		}, "watcher 1 began again at revision 108 with"},
		{"a watcher goes on where it was not", func(h *History) {
			p := &h.Streams[1].Parts[0]
			h.Streams[1].Parts = append(h.Streams[1].Parts, Part{At: 0, Life: worldLife, Since: 105, Events: p.Events[5:]})
			h.Streams[1].Parts[0].Events = h.Streams[1].Parts[0].Events[:4]
		}, "watcher 1 went on after revision 105"},
		{"another life begins", func(h *History) {
			for i := range h.Streams {
				h.Streams[i].Parts = append(h.Streams[i].Parts, Part{At: i, Life: "bb", Since: 108, Whole: true, Listed: h.Finals[0].Listed, ListedAt: 108})
			}
		}, "the registry had 2 lives, expected 1"},
		{"and its revisions repeat", func(h *History) {
			for i := range h.Streams {
				h.Streams[i].Parts = append(h.Streams[i].Parts, Part{At: i, Life: "bb", Since: 108, Whole: true, Listed: h.Finals[0].Listed, ListedAt: 108})
			}
		}, "life bb begins at revision 108, but life 00000000000000aa was at 108 already"},
		{"a read goes back", func(h *History) {
			h.Ops[19].Seen = events(h, 0)[4].Instance
		}, "it goes back: client 0 at dnsd 0: read a"},
		{"a read is of nothing that was", func(h *History) { h.Ops[19].Seen.Revision = 104 }, "it was never so: client 0 at dnsd 0: read a"},
		{"a client does not see what it wrote", func(h *History) {
			h.Ops[8].Seen = events(h, 0)[2].Instance
		}, "it goes back: client 0 at dnsd 1: read a"},
		{"nor in DNS", func(h *History) { h.Ops[20].Found, h.Ops[20].Seen = false, Instance{} }, "it goes back: client 0 at dnsd 0: query b"},
		{"a read is of something later", func(h *History) {
			h.Ops[3].ID, h.Ops[3].Found = "a", false // it is drained later
		}, "it goes back: client 0 at dnsd 1: query a"},
		{"DNS has what never was", func(h *History) { h.Ops[20].Seen.Value = "v9" }, "it was never so: client 0 at dnsd 0: query b"},
		{"a drained instance is in DNS", func(h *History) { h.Ops[6].Found, h.Ops[6].Seen.Value = true, "v3" }, "it goes back: client 0 at dnsd 1: query a"},
		{"a list has another instance", func(h *History) { h.Ops[18].Listed[0].Value = "v9" }, "it was never so: client 0 at dnsd 1: list"},
		{"a list goes back", func(h *History) {
			h.Ops[18].Revision, h.Ops[18].Listed = h.Ops[11].Revision, h.Ops[11].Listed
		}, "it goes back: client 0 at dnsd 1: list"},
		{"a list is empty", func(h *History) { h.Ops[18].Found, h.Ops[18].Listed = false, nil }, "it goes back, or was never so: client 0 at dnsd 1: list"},
		{"two zones differ at one serial", func(h *History) {
			h.Transfers[1].Records = append(h.Transfers[1].Records, "x.svc.\t5\tIN\tA\t10.0.0.1")
		}, "the zones of dnsd 0 and 1 differ at serial 106: record 3 is \"nothing\" and"},
		{"their order differs", func(h *History) { slices.Reverse(h.Transfers[1].Records) }, "the zones of dnsd 0 and 1 differ at serial 106"},
		{"a zone has what the registry has not", func(h *History) {
			for i := range h.Transfers {
				h.Transfers[i].Records[1] = strings.ReplaceAll(h.Transfers[i].Records[1], "v4", "v3")
			}
		}, "the zone of dnsd 0 with serial 106 has [a v3 b v2]; the registry has [a v4 b v2]"},
		{"a serial goes back", func(h *History) {
			h.Transfers = append(h.Transfers, Transfer{At: 1, Serial: 100, Records: []string{"svc.\t5\tIN\tSOA\tns.svc. 100"}})
		}, "dnsd 1 sends a zone with serial 100, after one with 106"},
		{"a serial of no revision", func(h *History) { h.Transfers[1].Serial = 200 }, "serial 200, which no revision has"},
		{"the ends differ", func(h *History) { h.Finals[1].Listed = h.Finals[1].Listed[1:] }, "at the end, dnsd 1 is at revision 108"},
		{"and their zones", func(h *History) { h.Finals[1].Zone.Records = h.Finals[1].Zone.Records[1:] }, "at the end, the zones of dnsd 1 and 0 differ"},
		{"a renewal of what is not there", func(h *History) { h.Ops[15].Found = true }, "no order of the requests explains the answers about b"},
		{"a renewal finds nothing", func(h *History) { h.Ops[12].Found = false }, "no order of the requests explains the answers about b"},
		{"a drain sees another instance", func(h *History) {
			h.Ops[5].Seen.Value = "v1"
		}, "no order of the requests explains the answers about a"},
		{"a registration loses a drain", func(h *History) {
			edit(h, func(e *Event) {
				if e.Revision == 105 {
					e.Instance.Drained = false
				}
			})
		}, "a registration does not change whether it is drained"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := plain()
			c.harm(h)
			if err := h.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("without %q:\n%v", c.says, err)
			}
		})
	}
}

// TestWhatFitsIntoNoOrderIsShown: among many requests, with what was seen then.
func TestWhatFitsIntoNoOrderIsShown(t *testing.T) {
	w := newWorld()
	for range 40 {
		w.do(Register, 0, "a")
		w.do(Renew, 0, "a")
	}
	bad := w.do(Renew, 1, "a")
	for range 40 {
		w.do(Register, 0, "a")
	}
	h := w.finish()
	bad.Found = false
	err := h.Check()
	if err == nil {
		t.Fatal("it is not found")
	}
	for _, says := range []string{bad.String() + " (this one does not fit)", "a=v41 ", "a=v40 ", "seen at 157ms: v40 at 140", "\n\t...\n"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("without %q", says)
		}
	}
	if n := strings.Count(err.Error(), "\n"); t.Failed() || n > 60 {
		t.Errorf("%d lines:\n%v", n, err)
	}
}

// edit changes events in all streams.
func edit(h *History, f func(*Event)) {
	for i := range h.Streams {
		p := &h.Streams[i].Parts[0]
		p.Events = slices.Clone(p.Events)
		for j := range p.Events {
			f(&p.Events[j])
		}
	}
}

func TestGapIsTheLongestTimeWithoutAWrite(t *testing.T) {
	h := plain()
	h.Ops[17].Return += time.Second
	if length, began := h.Gap(); length < time.Second || length > 2*time.Second || began != h.Ops[15].Return {
		t.Errorf("%v, from %v on", length, began)
	}
}

func TestFindingsAreFew(t *testing.T) {
	h := plain()
	for range 100 {
		h.Ops = append(h.Ops, &Op{Kind: Query, ID: "a", Found: true, Seen: Instance{Value: "v9"}})
	}
	err := h.Check()
	if err == nil || strings.Count(err.Error(), "\n") > 50 || !strings.Contains(err.Error(), "and 80 more findings") {
		t.Errorf("got %v", err)
	}
}
