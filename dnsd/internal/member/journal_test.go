package member

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

func TestCommittedIsLoaded(t *testing.T) {
	c := memkv.New(memkv.Config{})
	j := lives(t, c.Open("a"))
	for _, b := range []*registry.Batch{puts(1, "a1", "a2"), removals(3, "a1"), {Revision: 5}} {
		if err := j.Commit(b); err != nil {
			t.Fatal(err)
		}
	}
	l := whole(t, c)
	if l.registered() != "a2" || l.pos.revision != 5 || l.pos.life != 0x9f86d081884c7d65 || l.newest != 5 {
		t.Errorf("loaded %q at %+v", l.registered(), l.pos)
	}
	if len(l.fences) != 1 || l.fences[0].Key.ID != "a1" || l.fences[0].Incarnation != 7 {
		t.Errorf("fences %+v", l.fences)
	}
	if l.pos.head != j.pos.head || l.pos.at != j.pos.at {
		t.Errorf("loaded at %+v, committed at %+v", l.pos, j.pos)
	}
}

// TestWhoLostTheKeyCannotCommit: another member may be the writer.
func TestWhoLostTheKeyCannotCommit(t *testing.T) {
	for name, harm := range map[string]func(kv.Store, *journal){
		"its key was deleted": func(s kv.Store, j *journal) {
			mustTxn(t, s, kv.Op{Key: under.member("a"), Delete: true})
		},
		"its key was made again": func(s kv.Store, j *journal) {
			mustTxn(t, s, kv.Op{Key: under.member("a"), Delete: true})
			mustTxn(t, s, kv.Op{Key: under.member("a"), Value: []byte("{}")})
		},
		"the head was changed": func(s kv.Store, j *journal) {
			mustTxn(t, s, kv.Op{Key: under.head(), Value: []byte("{}")})
		},
	} {
		c := memkv.New(memkv.Config{})
		s := c.Open("a")
		j := lives(t, s)
		harm(s, j)
		if err := j.Commit(puts(1, "a1")); !errors.Is(err, registry.ErrNotWriter) {
			t.Errorf("%s: %v, want ErrNotWriter", name, err)
		}
		if j.Valid() {
			t.Errorf("%s: the term goes on", name)
		}
		select {
		case <-j.lost:
		default:
			t.Errorf("%s: the term is over, and that is not told", name)
		}
		before := c.Revision()
		if err := j.Commit(puts(1, "a1")); !errors.Is(err, registry.ErrNotWriter) || c.Revision() != before {
			t.Errorf("%s: after the end: %v", name, err)
		}
		if _, _, spoilt, why := j.end(); spoilt || why == nil {
			t.Errorf("%s: spoilt %t, why %v", name, spoilt, why)
		}
	}
}

func mustTxn(t testing.TB, s kv.Store, ops ...kv.Op) {
	t.Helper()
	if r, err := s.Txn(context.Background(), kv.Txn{Then: ops}); err != nil || !r.Done {
		t.Fatal(r, err)
	}
}

// TestUncertainIsResolved: each commit that is acknowledged is there once, and the caller
// of another that may be there is told so.
func TestUncertainIsResolved(t *testing.T) {
	for name, losses := range map[string][]memkv.Loss{
		"the request is lost":                    {memkv.LostRequest},
		"the reply is lost":                      {memkv.LostReply},
		"both of two replies":                    {memkv.LostRequest, memkv.LostReply, memkv.LostRequest},
		"done, and no space":                     {memkv.DoneWithoutSpace},
		"lost, then done, and no space":          {memkv.LostRequest, memkv.DoneWithoutSpace},
		"it arrives late, after it was repeated": {memkv.Late},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := memkv.New(memkv.Config{})
			s := c.Open("a")
			j := lives(t, s)
			s.Lose(losses...)
			if err := j.Commit(puts(1, "a1")); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s.Arrive()
			if err := j.Commit(removals(2, "a1")); err != nil {
				t.Errorf("%s: the next: %v", name, err)
			}
			if l := whole(t, c); l.registered() != "" || l.pos.revision != 3 {
				t.Errorf("%s: %q at %d", name, l.registered(), l.pos.revision)
			}
		})
	}
}

// TestUnknownOutcomeAndAnotherChange: whether it was done before the other change cannot be
// known, so it is not acknowledged.
func TestUnknownOutcomeAndAnotherChange(t *testing.T) {
	for name, loss := range map[string]memkv.Loss{"not done": memkv.LostRequest, "done": memkv.LostReply} {
		synctest.Test(t, func(t *testing.T) {
			s := memkv.New(memkv.Config{}).Open("a")
			j := lives(t, s)
			s.Lose(loss)
			time.AfterFunc(retry/2, func() { mustTxn(t, s, kv.Op{Key: under.head(), Value: []byte("{}")}) })
			if err := j.Commit(puts(1, "a1")); !errors.Is(err, registry.ErrUncertain) || j.Valid() {
				t.Errorf("%s: %v, valid %t", name, err, j.Valid())
			}
		})
	}
}

// TestUnresolvedEndsTheTerm: a transaction that may still be done is no longer done when
// the key of its member is gone.
func TestUnresolvedEndsTheTerm(t *testing.T) {
	for name, fault := range map[string]func(c *memkv.Cluster, s *memkv.Store){
		"no space":      func(c *memkv.Cluster, _ *memkv.Store) { c.SetFull(true) },
		"no permission": func(_ *memkv.Cluster, s *memkv.Store) { s.SetLink(memkv.Deny) },
		"no answer":     func(_ *memkv.Cluster, s *memkv.Store) { s.SetLink(memkv.Hang) },
		"no replies":    func(_ *memkv.Cluster, s *memkv.Store) { s.SetLink(memkv.HangReplies) },
		"no link":       func(_ *memkv.Cluster, s *memkv.Store) { s.SetLink(memkv.Cut) },
		"no store":      func(c *memkv.Cluster, _ *memkv.Store) { c.Stop() },
	} {
		for _, keyGoes := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c := memkv.New(memkv.Config{})
				s := c.Open("a")
				j := lives(t, s)
				ends := time.Now().Add(5 * time.Second)
				j.seat.valid = func() bool { return time.Now().Before(ends) }
				s.Lose(memkv.Late)
				time.AfterFunc(retry/2, func() { fault(c, s) })
				err := j.Commit(puts(1, "a1"))
				_, _, spoilt, why := j.end()
				if !errors.Is(err, registry.ErrUncertain) || !spoilt || why == nil {
					t.Errorf("%s: %v, spoilt %t: %v", name, err, spoilt, why)
				}
				if late := time.Since(ends); late > attempt {
					t.Errorf("%s: told %v after the session", name, late)
				}
				c.SetFull(false)
				c.Start()
				s.SetLink(memkv.Up)
				if keyGoes {
					mustTxn(t, s, kv.Op{Key: under.member("a"), Delete: true})
				}
				s.Arrive()
				if got, want := whole(t, c).registered() != "", !keyGoes || name == "no replies"; got != want {
					t.Errorf("%s: the key goes %t: done %t", name, keyGoes, got)
				}
			})
		}
	}
}

// TestWhatWasNotDoneChangesNothing: the term goes on.
func TestWhatWasNotDoneChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memkv.New(memkv.Config{})
		s := c.Open("a")
		j := lives(t, s)
		s.SetLink(memkv.Cut)
		began := time.Now()
		if err := j.Commit(puts(1, "a1")); !errors.Is(err, kv.ErrUnavailable) || time.Since(began) > 2*patience {
			t.Errorf("cut: %v after %v", err, time.Since(began))
		}
		began = time.Now()
		if err := j.Commit(puts(1, "a1")); !errors.Is(err, kv.ErrUnavailable) || time.Since(began) > 0 {
			t.Errorf("cut for longer: %v after %v", err, time.Since(began))
		}
		s.SetLink(memkv.Deny)
		if err := j.Commit(puts(1, "a1")); !errors.Is(err, kv.ErrDenied) {
			t.Errorf("denied: %v", err)
		}
		s.SetLink(memkv.Up)
		if err := j.Commit(puts(1, "a1")); err != nil || !j.Valid() {
			t.Errorf("up: %v", err)
		}
		s.SetLink(memkv.Cut)
		go func() {
			time.Sleep(patience / 2)
			s.SetLink(memkv.Up)
		}()
		if err := j.Commit(puts(2, "a2")); err != nil {
			t.Errorf("cut for a short time: %v", err)
		}
	})
}

// TestDividedBatch: a batch that does not fit into a transaction is several commits, and
// if one of them fails, the term ends.
func TestDividedBatch(t *testing.T) {
	c := memkv.New(memkv.Config{Limits: kv.Limits{Ops: 10, Bytes: 1 << 20}})
	s := c.Open("a")
	j := lives(t, s)
	if err := j.Commit(puts(1, ids(100)...)); err != nil {
		t.Fatal(err)
	}
	if l := whole(t, c); len(l.instances) != 100 || l.pos.revision != 101 || l.head.Batch.From != 100 {
		t.Errorf("%d instances at %d, the last part from %d", len(l.instances), l.pos.revision, l.head.Batch.From)
	}
	failing := &failsAfter{Store: s, n: 3, err: kv.ErrDenied}
	j.store = failing
	err := j.Commit(puts(101, ids(50)...))
	if !errors.Is(err, registry.ErrUncertain) || !strings.Contains(err.Error(), kv.ErrDenied.Error()) || j.Valid() {
		t.Errorf("a failure in the middle: %v, valid %t", err, j.Valid())
	}
	if l := whole(t, c); l.pos.revision != 101+3*9 {
		t.Errorf("the store is at %d, want the three parts", l.pos.revision)
	}
}

// failsAfter fails each transaction after the first n.
type failsAfter struct {
	kv.Store
	n   int
	err error
}

func (f *failsAfter) Txn(ctx context.Context, t kv.Txn) (kv.Result, error) {
	if f.n--; f.n < 0 {
		return kv.Result{}, f.err
	}
	return f.Store.Txn(ctx, t)
}

// TestNothingIsSentAfterTheSession: another member may be the writer by then.
func TestNothingIsSentAfterTheSession(t *testing.T) {
	c := memkv.New(memkv.Config{})
	j := lives(t, c.Open("a"))
	var over atomic.Bool
	j.seat.valid = func() bool { return !over.Load() }
	over.Store(true)
	before := c.Revision()
	if err := j.Commit(puts(1, "a1")); !errors.Is(err, registry.ErrNotWriter) || c.Revision() != before {
		t.Errorf("%v, the store went from %d to %d", err, before, c.Revision())
	}
}

// TestTwoWritersNeverBothCommit: of two terms that both believe to be right, one commits.
func TestTwoWritersNeverBothCommit(t *testing.T) {
	c := memkv.New(memkv.Config{})
	first := lives(t, c.Open("a"))
	s := c.Open("b")
	second := newJournal(t.Context(), s, under, sit(t, s, "b"), "b", whole(t, c).pos, nil, slog.New(slog.DiscardHandler))
	defer second.end()
	if err := first.Commit(puts(1, "a1")); err != nil {
		t.Fatal(err)
	}
	if err := second.Commit(puts(1, "a2")); !errors.Is(err, registry.ErrNotWriter) {
		t.Errorf("the second: %v", err)
	}
	if l := whole(t, c); l.registered() != "a1" {
		t.Errorf("registered %q", l.registered())
	}
}
