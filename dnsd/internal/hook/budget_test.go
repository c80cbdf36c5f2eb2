package hook

import (
	"context"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// TestBudgetHoldsItsBounds takes and gives back memory at random.
func TestBudgetHoldsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 100
		b := newBudget(most)
		type part struct {
			caller caller
			size   int
			back   func()
		}
		var held []part
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				c, size := caller{token: rapid.IntRange(1, 3).Draw(t, "caller")}, rapid.IntRange(1, 120).Draw(t, "size")
				own, used := 0, 0
				for _, p := range held {
					used += p.size
					if p.caller == c {
						own += p.size
					}
				}
				size = min(size, most)
				fits := used+size <= most && (own == 0 || own+size <= most/2)
				back, ok := b.take(gone, c, size) // a context that has ended: it gets what is free now, or nothing
				if ok != fits {
					t.Fatalf("took %d beside %d of its own, %d in all: %v", size, own, used, ok)
				}
				if ok {
					held = append(held, part{c, size, back})
				}
			},
			"give back": func(t *rapid.T) {
				if len(held) > 0 {
					i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
					held[i].back()
					held = append(held[:i:i], held[i+1:]...)
				}
			},
			"": func(t *rapid.T) {
				used := 0
				for _, p := range held {
					used += p.size
				}
				if b.used != used || used > most || b.waiters.Len() > 0 {
					t.Fatalf("%d used, want %d; %d wait", b.used, used, b.waiters.Len())
				}
			},
		})
	})
}

// Waiting requests get the memory that is given back, in their order.
func TestBudgetServesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		back, ok := b.take(t.Context(), caller{token: 1}, 10)
		if !ok {
			t.Fatal("not even the first")
		}
		got := make(chan int, 3)
		for i := range 3 {
			go func() {
				if _, ok := b.take(t.Context(), caller{token: 2 + i}, 5); ok {
					got <- i
				}
			}()
			synctest.Wait()
		}
		back()
		synctest.Wait()
		if len(got) != 2 || <-got+<-got != 1 || b.waiters.Len() != 1 {
			t.Errorf("%d were served, %d wait", len(got), b.waiters.Len())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := b.take(ctx, caller{token: 9}, 1); ok {
			t.Error("served, though nothing was left and it could not wait")
		}
		b.mu.Lock()
		b.most = 100
		b.serveLocked()
		b.mu.Unlock()
		synctest.Wait()
	})
}
