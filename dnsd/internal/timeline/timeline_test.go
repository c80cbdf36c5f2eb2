package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func in(service, id string) *registry.Instance {
	return &registry.Instance{Key: registry.Key{Service: service, ID: id}, Host: "10.0.0.7", Port: 9001, Lease: 15 * time.Second}
}

func everything(string) bool { return true }

// small is a timeline whose rings are soon full.
func small(changes, notes int) *Timeline {
	t := New()
	t.changes.most, t.notes.most, t.late.most = changes, notes, notes
	return t
}

// A reader that follows by cursors sees each event once and in order, or is told that some
// are missing. What it sees then is in order as well, and ends with the newest.
func TestFollowersMissNothingUntold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tl := small(rapid.IntRange(1, 8).Draw(t, "changes"), rapid.IntRange(1, 4).Draw(t, "notes"))
		cursor := tl.Last(1, everything).Next
		n, read := 0, 0 // events that were added, and those of them before the last reading
		t.Repeat(map[string]func(*rapid.T){
			"change": func(*rapid.T) {
				n++
				tl.Apply([]registry.Change{{Revision: uint64(n), New: in("_math._tcp", fmt.Sprint(n))}})
			},
			"late": func(*rapid.T) {
				n++
				tl.Late(in("_math._tcp", fmt.Sprint(n)), time.Second)
			},
			"note": func(*rapid.T) {
				n++
				tl.Add(Note{What: GuardReleased, Why: fmt.Sprint(n)})
			},
			"read": func(t *rapid.T) {
				most := rapid.IntRange(1, 5).Draw(t, "most")
				missed, last, count := false, read, 0
				for {
					p := tl.After(cursor, most, everything)
					missed, cursor = missed || p.Missed, p.Next
					for _, e := range p.Events {
						var id int
						fmt.Sscan(cmp.Or(e.ID, e.Why), &id)
						if id <= last || !missed && id != last+1 {
							t.Fatalf("%d follows on %d", id, last)
						}
						last = id
						count++
					}
					if len(p.Events) < most {
						break
					}
				}
				if last != n || missed == (count == n-read) || tl.Added(cursor) == nil {
					t.Fatalf("%d of %d events, up to %d, and missed is %v", count, n-read, last, missed)
				}
				read = n
			},
		})
	})
}

// The rings are bounded, and each keeps its newest events, in one order.
func TestLateRenewalsPushNothingElseOut(t *testing.T) {
	tl := small(3, 2)
	tl.Add(Note{What: GuardReleased})
	for i := range 5 {
		tl.Apply([]registry.Change{{Revision: uint64(i + 1), New: in("_math._tcp", fmt.Sprint("a", i))}})
		for range 10 {
			tl.Late(in("_math._tcp", "slow"), time.Second)
		}
	}
	var got []string
	for _, e := range tl.Last(100, everything).Events {
		got = append(got, cmp.Or(e.ID, e.What))
	}
	if want := []string{GuardReleased, "a2", "a3", "a4", "slow", "slow"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSignaturesFindTheirChange(t *testing.T) {
	tl := small(3, 3)
	for i := range 6 {
		tl.Apply([]registry.Change{{Revision: uint64(10 + i), New: in("_math._tcp", fmt.Sprint("a", i))}})
	}
	for _, revision := range []uint64{0, 10, 12, 13, 15, 16, 99} {
		tl.Sign(revision, fmt.Sprint("sender of ", revision))
	}
	var got []string
	for _, e := range tl.Last(100, everything).Events {
		got = append(got, e.ID+" "+e.Who)
	}
	if want := []string{"a3 sender of 13", "a4 ", "a5 sender of 15"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A change that a follower applies after the answer of the writer is signed all the same.
func TestSignatureBeforeTheChange(t *testing.T) {
	tl := New()
	tl.Sign(7, "ci")
	tl.Apply([]registry.Change{{Revision: 7, New: in("_math._tcp", "a1"), Cause: registry.Followed}})
	if e := tl.Last(1, everything).Events[0]; e.Who != "ci" {
		t.Errorf("%+v", e)
	}
}

// After a restart nothing is known of what followed on a cursor. That is told once, also
// before the first event.
func TestCursorsOfAnEarlierTimelineHaveMissedEvents(t *testing.T) {
	old, again := New(), New()
	old.Apply([]registry.Change{{Revision: 1, New: in("_math._tcp", "a1")}})
	first := again.After(old.Last(1, everything).Next, 10, everything)
	if !first.Missed || len(first.Events) != 0 {
		t.Errorf("%+v", first)
	}
	again.Apply([]registry.Change{{Revision: 1000, New: in("_math._tcp", "a3")}})
	if next := again.After(first.Next, 10, everything); next.Missed || len(next.Events) != 1 {
		t.Errorf("then %+v", next)
	}
	if begun := again.After(Cursor{again.id, 9}, 10, everything); !begun.Missed || len(begun.Events) != 1 {
		t.Errorf("after an event that was never there: %+v", begun)
	}
}

// One event costs one event, however many are there.
func TestAfterLooksAtNoMoreThanItReturns(t *testing.T) {
	tl := New()
	for i := range 1000 {
		tl.Apply([]registry.Change{{Revision: uint64(1 + i), New: in("_math._tcp", "a")}})
	}
	asked := 0
	tl.After(Cursor{tl.id, 500}, 1, func(string) bool { asked++; return true })
	if asked > 2 {
		t.Errorf("%d events were looked at", asked)
	}
}

// A new timeline begins with what the registry remembers. A follower that loads everything
// again says that changes are missing.
func TestLoads(t *testing.T) {
	tl := New()
	history := []registry.Change{{Revision: 1, New: in("_math._tcp", "a1")}, {Revision: 2, New: in("_math._tcp", "a2")}}
	tl.Load(2, nil, history)
	tl.Load(2, nil, history) // the same again
	if n := len(tl.Last(100, everything).Events); n != 2 {
		t.Errorf("%d events", n)
	}
	tl.Load(9, nil, nil)
	all := tl.Last(100, everything).Events
	if len(all) != 3 || all[2].What != Loaded || all[2].Revision != 9 {
		t.Errorf("%+v", all)
	}
	p := tl.After(Cursor{tl.id, 1}, 100, func(s string) bool { return s == "_math._tcp" })
	if len(p.Events) != 1 || p.Events[0].ID != "a2" {
		t.Errorf("%+v", p)
	}
}

// A registry of its own loads its sinks as well, after a restore for example. Then no change
// is missing.
func TestLoadsOfARegistryThatToldAllChanges(t *testing.T) {
	tl := New()
	tl.Apply([]registry.Change{{Revision: 1, New: in("_math._tcp", "a1")}})
	tl.Load(1<<20, nil, []registry.Change{})
	if all := tl.Last(100, everything).Events; len(all) != 1 {
		t.Errorf("%+v", all)
	}
	tl.Move()
	tl.Load(1<<21, nil, []registry.Change{})
	if all := tl.Last(100, everything).Events; len(all) != 2 || all[1].What != Loaded {
		t.Errorf("another registry: %+v", all)
	}
}

// The revisions of another store may be lower. A signature finds the change of that store.
func TestLoadsWithALowerRevision(t *testing.T) {
	tl := New()
	for i := range 5 {
		tl.Apply([]registry.Change{{Revision: uint64(100 + i), New: in("_math._tcp", fmt.Sprint("old", i))}})
	}
	tl.Sign(105, "before")
	tl.Load(50, nil, []registry.Change{{Revision: 50, New: in("_math._tcp", "there")}})
	for i, revision := range []uint64{51, 102, 105} {
		tl.Apply([]registry.Change{{Revision: revision, New: in("_math._tcp", fmt.Sprint("new", i))}})
	}
	tl.Sign(51, "ci")
	tl.Sign(102, "cd")
	tl.Sign(101, "gone")
	var got []string
	for _, e := range tl.Last(100, everything).Events[4:] {
		got = append(got, e.What+" "+e.ID+" "+e.Who)
	}
	want := []string{"registered old4 ", "loaded  dnsd", "registered there ", "registered new0 ci", "registered new1 cd", "registered new2 "}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, e := range tl.Last(100, everything).Events[:5] {
		if e.Who != "" {
			t.Errorf("%+v", e)
		}
	}
}

// A timeline that was reset has nothing of before, and its readers are woken.
func TestResetForgetsEverything(t *testing.T) {
	tl := New()
	tl.Apply([]registry.Change{{Revision: 7, New: in("_math._tcp", "a1")}})
	tl.Late(in("_math._tcp", "a1"), time.Second)
	tl.Add(Note{What: GuardReleased})
	tl.Sign(8, "ci")
	cursor := tl.Last(1, everything).Next
	added := tl.Added(cursor)
	tl.Reset()
	select {
	case <-added:
	default:
		t.Error("a reader waits on")
	}
	if p := tl.After(cursor, 10, everything); !p.Missed || len(p.Events) != 0 || p.Next.timeline == cursor.timeline || p.Next.seq != 0 {
		t.Errorf("%+v", p)
	}
	tl.Load(3, nil, []registry.Change{})
	tl.Apply([]registry.Change{{Revision: 8, New: in("_math._tcp", "b1")}})
	if all := tl.Last(10, everything).Events; len(all) != 1 || all[0].Who != "" {
		t.Errorf("%+v", all)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("9f86d081-57")
	f.Add("-")
	f.Add("9f86d081-18446744073709551616")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			return
		}
		if again, err := ParseCursor(c.String()); err != nil || again != c {
			t.Errorf("%q is %v, and then %v", s, c, again)
		}
		New().After(c, 1, everything)
	})
}
