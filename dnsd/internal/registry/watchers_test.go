package registry

import (
	"context"
	"testing"
)

// New watches and renewals do not wait for a delivery, however long it takes, and a new
// watch misses nothing.
func TestNewWatchesDoNotWaitForADelivery(t *testing.T) {
	r, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in := Instance{Key: Key{"_math._tcp", "a1"}, Host: "10.0.0.7", Port: 1}
	if _, err := r.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	r.watchers.mu.Lock() // as deliver does
	w, err := r.Watch("_math._tcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	late, err := r.Watch("", &Position{r.Life(), 0})
	if err != nil {
		t.Fatal(err)
	}
	if events, err := late.Next(t.Context()); err != nil || len(events) != 1 {
		t.Errorf("from the history: %v, %v", events, err)
	}
	if _, err := r.Renew(context.Background(), in.Key, 0); err != nil {
		t.Error(err)
	}
	if n := r.Stats().Watchers; n != 2 {
		t.Errorf("%d watchers, want 2", n)
	}
	r.watchers.mu.Unlock()
	in.Weight = 7
	if _, err := r.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*Watch{w, late} {
		if events, err := w.Next(t.Context()); err != nil || len(events) != 1 || events[0].New.Weight != 7 {
			t.Errorf("after the delivery: %v, %v", events, err)
		}
		w.Close()
	}
}
