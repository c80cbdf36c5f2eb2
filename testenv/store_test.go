package testenv

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// TestBrokenStoreLinksReachTheStore: a link also decides about what is opened later.
func TestBrokenStoreLinksReachTheStore(t *testing.T) {
	s, l := &stores{cluster: memkv.New(memkv.Config{}), name: "a"}, newLink()
	l.follow = s.follow
	open := func() kv.Store {
		t.Helper()
		store, err := s.Open(t.Context(), dnsd.SharedStore{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	}
	get := func(store kv.Store, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, _, err := store.Get(ctx, "key")
		return err
	}
	first := open()
	l.set(Cut)
	for i, store := range []kv.Store{first, open()} {
		if err := get(store, late); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("store %d, with a link that is cut: %v", i, err)
		}
	}
	l.set(Stuck)
	if err := get(first, soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stuck: %v", err)
	}
	l.set(Whole)
	if err := get(first, late); err != nil {
		t.Errorf("whole: %v", err)
	}
}
