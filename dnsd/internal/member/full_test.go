package member

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// fill puts all spare keys.
func (j *journal) fill(t testing.TB) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = j.refill(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSparesAreFilledAndCounted(t *testing.T) {
	c := memkv.New(memkv.Config{})
	j := lives(t, c.Open("a"))
	j.fill(t)
	l := whole(t, c)
	if len(l.pos.spares) != mostSpares || l.head.Spares != mostSpares || l.pos.revision != 1 || len(l.problems) > 0 {
		t.Errorf("%d spare keys, the head says %d, revision %d, problems %v", len(l.pos.spares), l.head.Spares, l.pos.revision, l.problems)
	}
	before := c.Revision()
	if more, err := j.refill(); more || err != nil || c.Revision() != before {
		t.Errorf("again: %t, %v", more, err)
	}
}

// TestRemovalsFitIntoAFullStore: each has its revision, and what they leave behind is
// stored when there is space again.
func TestRemovalsFitIntoAFullStore(t *testing.T) {
	c := memkv.New(memkv.Config{Limits: kv.Limits{Ops: 20, Bytes: 1 << 20}})
	s := c.Open("a")
	j := lives(t, s)
	j.fill(t)
	if err := j.Commit(puts(1, ids(100)...)); err != nil {
		t.Fatal(err)
	}
	c.SetFull(true)
	if err := j.Commit(puts(101, "b1")); !errors.Is(err, registry.ErrNoSpace) {
		t.Errorf("a registration: %v", err)
	}
	if err := j.Commit(removals(101, ids(30)...)); err != nil {
		t.Fatalf("removals: %v", err)
	}
	if _, err := j.refill(); !errors.Is(err, registry.ErrNoSpace) {
		t.Errorf("refilled: %v", err)
	}
	l := whole(t, c)
	if len(l.instances) != 70 || l.pos.revision != 131 || len(l.fences) != 0 || l.head.Revision != 101 {
		t.Errorf("%d instances at %d, %d fences, the head at %d", len(l.instances), l.pos.revision, len(l.fences), l.head.Revision)
	}
	if len(j.owed) != 30 {
		t.Errorf("%d fences are owed", len(j.owed))
	}

	c.SetFull(false)
	if err := j.Commit(puts(131, "a0000")); err != nil {
		t.Fatal(err)
	}
	if l := whole(t, c); l.pos.revision != 132 || l.head.Spares != mostSpares-30 {
		t.Errorf("at %d with %d spare keys", l.pos.revision, l.head.Spares)
	}
	j.fill(t)
	l = whole(t, c)
	if l.pos.revision != 132 || len(l.pos.spares) != mostSpares || len(l.fences) != 30 || len(j.owed) != 0 {
		t.Errorf("at %d with %d spare keys and %d fences, %d owed", l.pos.revision, len(l.pos.spares), len(l.fences), len(j.owed))
	}
}

// TestSparesCanBeUsedUp: then nothing is removed, and nothing is lost.
func TestSparesCanBeUsedUp(t *testing.T) {
	c := memkv.New(memkv.Config{})
	j := lives(t, c.Open("a"))
	if _, err := j.refill(); err != nil {
		t.Fatal(err)
	}
	n := len(j.pos.spares)
	if err := j.Commit(puts(1, ids(n+1)...)); err != nil {
		t.Fatal(err)
	}
	at := uint64(n + 2)
	c.SetFull(true)
	if err := j.Commit(removals(at, ids(n+1)...)); !errors.Is(err, registry.ErrNoSpace) || !j.Valid() {
		t.Errorf("more than spare keys: %v", err)
	}
	if l := whole(t, c); len(l.instances) != n+1 || l.pos.revision != at {
		t.Errorf("%d instances at %d", len(l.instances), l.pos.revision)
	}
	if err := j.Commit(removals(at, ids(n)...)); err != nil {
		t.Errorf("as many as spare keys: %v", err)
	}
	if err := j.Commit(removals(at+uint64(n), ids(n + 1)[n])); !errors.Is(err, registry.ErrNoSpace) {
		t.Errorf("without a spare key: %v", err)
	}
	if l := whole(t, c); len(l.instances) != 1 || l.pos.revision != at+uint64(n) {
		t.Errorf("%d instances at %d", len(l.instances), l.pos.revision)
	}
}

// TestRemovalWithAnUnknownOutcome: it is done once, and a commit that comes late and does
// not know of it is not done.
func TestRemovalWithAnUnknownOutcome(t *testing.T) {
	for name, losses := range map[string][]memkv.Loss{
		"the request is lost": {memkv.LostRequest},
		"the reply is lost":   {memkv.LostReply},
		"it arrives late":     {memkv.Late},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := memkv.New(memkv.Config{})
			s := c.Open("a")
			j := lives(t, s)
			j.fill(t)
			if err := j.Commit(puts(1, "a1", "a2")); err != nil {
				t.Fatal(err)
			}
			stale := newJournal(t.Context(), s, under, j.seat, "a", j.pos, nil, j.log)
			defer stale.end()
			c.SetFull(true)
			if err := j.Commit(removals(3, "a2")); err != nil { // its commit with a head comes first
				t.Fatal(err)
			}
			j.mu.Lock()
			s.Lose(losses...)
			err := j.deleteLocked(removals(4, "a1").Changes)
			j.mu.Unlock()
			s.Arrive()
			if l := whole(t, c); err != nil || l.registered() != "" || l.pos.revision != 5 {
				t.Errorf("%s: %v, %q at %d", name, err, l.registered(), l.pos.revision)
			}
			c.SetFull(false)
			if err := stale.Commit(puts(3, "b1")); !errors.Is(err, registry.ErrNotWriter) {
				t.Errorf("%s: a commit from before the removals: %v", name, err)
			}
		})
	}
}

// TestLostKeyRemovesNothing: not even from a full store.
func TestLostKeyRemovesNothing(t *testing.T) {
	c := memkv.New(memkv.Config{})
	s := c.Open("a")
	j := lives(t, s)
	j.fill(t)
	if err := j.Commit(puts(1, "a1")); err != nil {
		t.Fatal(err)
	}
	mustTxn(t, s, kv.Op{Key: under.member("a"), Delete: true})
	c.SetFull(true)
	if err := j.Commit(removals(2, "a1")); !errors.Is(err, registry.ErrNotWriter) || j.Valid() {
		t.Errorf("%v", err)
	}
	if l := whole(t, c); l.registered() != "a1" {
		t.Errorf("registered %q", l.registered())
	}
}

// TestFullStoreAfterALostAnswer: a writer that does not know an outcome, in a store that is
// full since, leads again soon, and what it does not know is never done later.
func TestFullStoreAfterALostAnswer(t *testing.T) {
	for name, loss := range map[string]memkv.Loss{"the request is lost": memkv.LostRequest, "the reply is lost": memkv.LostReply, "it arrives late": memkv.Late} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			all := newChronicle()
			all.gaps = true // of the spare key that is deleted
			first := all.record(t, c.start())
			c.elected()
			all.record(t, c.start())
			first.register(t, "a1")
			time.Sleep(3 * time.Second)
			c.settled()
			life := first.reg.Life()
			first.link.Lose(loss)
			time.AfterFunc(time.Millisecond, func() { c.store.SetFull(true) })
			_, err := first.reg.Register(t.Context(), registration("a2"))
			if loss == memkv.LostReply != (err == nil) || err != nil && !errors.Is(err, registry.ErrUncertain) {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(time.Second)
			if !first.mayAcknowledge() {
				t.Errorf("%s: it acknowledges no renewals", name)
			}
			if _, err := first.reg.Deregister(t.Context(), registration("a1").Key, nil); err != nil {
				t.Errorf("%s: a removal: %v", name, err)
			}
			c.settled()
			c.store.SetFull(false)
			first.link.Arrive()
			time.Sleep(40 * time.Second)
			w := c.settled()
			c.stored(w)
			if w != first || w.reg.Life() != life || w.has("a1") || w.has("a2") != (loss == memkv.LostReply) || len(whole(t, c.store).pos.spares) != mostSpares {
				t.Errorf("%s: %s leads, and has a1: %t, a2: %t", name, w.name, w.has("a1"), w.has("a2"))
			}
		})
		if t.Failed() {
			t.Fatal(name)
		}
	}
}
