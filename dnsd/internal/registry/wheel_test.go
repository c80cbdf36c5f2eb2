package registry

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every entry is handed out once, at the first tick not before its deadline, while others
// are added, removed and moved.
func TestWheelHandsOutOnTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		now := time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "now")).Truncate(tick)
		w.advance(now, 1<<30, nil)
		scheduled := map[*entry]bool{}
		duration := rapid.Custom(func(t *rapid.T) time.Duration {
			// Half of the deadlines are near, half are far.
			return time.Duration(rapid.Int64Range(0, 1<<rapid.IntRange(1, 50).Draw(t, "bits")).Draw(t, "duration"))
		})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				e := &entry{deadline: now + duration.Draw(t, "in"), slot: unscheduled}
				w.add(e)
				scheduled[e] = true
			},
			"remove": func(*rapid.T) {
				for e := range scheduled {
					w.remove(e)
					w.remove(e)
					delete(scheduled, e)
					return
				}
			},
			"later": func(t *rapid.T) {
				for e := range scheduled {
					e.deadline += duration.Draw(t, "by")
					return
				}
			},
			"advance": func(t *rapid.T) {
				target := now + min(duration.Draw(t, "to"), 12*time.Hour)
				for now < target {
					// The wheel advances in strides. The test knows which entries are due in each.
					now = min(now+time.Hour, target)
					limit := rapid.SampledFrom([]int{1, 2, 3, 1000}).Draw(t, "limit")
					for !w.advance(now, limit, func(e *entry) {
						if !scheduled[e] {
							t.Fatalf("handed out an entry that is not scheduled")
						}
						at := time.Duration(w.now) * tick
						if e.deadline > at {
							w.add(e)
							return
						}
						if late := at - e.deadline; late >= 2*tick {
							t.Fatalf("%v late", late)
						}
						delete(scheduled, e)
					}) {
						if rapid.Bool().Draw(t, "meanwhile") {
							e := &entry{deadline: now, slot: unscheduled}
							w.add(e)
							scheduled[e] = true
						}
					}
				}
				for e := range scheduled {
					if e.deadline <= now-tick {
						t.Fatalf("due at %v, not handed out by %v", e.deadline, now)
					}
				}
			},
		})
	})
}
