package member

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// sessionOf is a session that runs until the test ends.
func sessionOf(t *testing.T, s kv.Store) (*session, func()) {
	x := newSession(s, under, 5*time.Second, []byte(`{"name":"a"}`), slog.New(slog.DiscardHandler), func() {}, make(chan struct{}, 1))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); x.run(ctx) }()
	return x, func() { cancel(); <-done }
}

// keysOf is the keys of members in the store.
func keysOf(t *testing.T, c *memkv.Cluster) map[string]Peer {
	t.Helper()
	all := map[string]Peer{}
	if _, err := c.Open("reader").Range(context.Background(), under.members(), 0, func(p kv.Pair) error {
		all[p.Key] = readPeer(p)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTicketIsKeptAndGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memkv.New(memkv.Config{})
		x, stop := sessionOf(t, c.Open("a"))
		time.Sleep(time.Minute)
		if x.now() != nil || len(keysOf(t, c)) != 0 {
			t.Error("it has a key, and nothing wants one")
		}
		x.want(true)
		synctest.Wait()
		first := x.now()
		if first == nil || !first.valid() || keysOf(t, c)[first.key].created != first.created {
			t.Fatalf("the ticket is %+v", first)
		}
		time.Sleep(time.Hour)
		if x.now() != first || !first.valid() || first.left() < 3*time.Second {
			t.Errorf("after an hour, %v is left", first.left())
		}
		x.want(false)
		synctest.Wait()
		if x.now() != nil || first.valid() || len(keysOf(t, c)) != 0 {
			t.Error("the key is there, and nothing wants it")
		}
		x.want(true)
		synctest.Wait()
		second := x.now()
		if second == nil || second.key == first.key {
			t.Errorf("the next ticket is %+v", second)
		}
		second.abandon()
		second.abandon()
		synctest.Wait()
		if third := x.now(); third == nil || third.key == second.key || third.created <= second.created || len(keysOf(t, c)) != 1 {
			t.Errorf("the third is %+v, and there are %v", third, keysOf(t, c))
		}
		stop()
		if len(keysOf(t, c)) != 0 {
			t.Error("a key is left")
		}
	})
}

// TestTicketEndsByTheClock: not later than the store may have ended the lease, whatever
// the member hears.
func TestTicketEndsByTheClock(t *testing.T) {
	for _, link := range []memkv.Link{memkv.Cut, memkv.Hang, memkv.HangReplies, memkv.Deny} {
		synctest.Test(t, func(t *testing.T) {
			c := memkv.New(memkv.Config{})
			s := c.Open("a")
			x, stop := sessionOf(t, s)
			defer stop()
			x.want(true)
			time.Sleep(time.Minute + 700*time.Millisecond)
			ticket := x.now()
			s.SetLink(link)
			for ticket.valid() {
				if keysOf(t, c)[ticket.key].created == 0 {
					t.Fatalf("%v: the key is gone, and the ticket is valid", link)
				}
				time.Sleep(time.Millisecond)
			}
			time.Sleep(20 * time.Second)
			s.SetLink(memkv.Up)
			time.Sleep(6 * time.Second)
			if next := x.now(); next == nil || !next.valid() {
				t.Errorf("%v: up again, and the ticket is %+v", link, next)
			}
		})
	}
}

// TestTicketGoesOnAfterAnOutage: the store has not answered for longer than the session, and
// then it still has the key. In a full store there could be no other.
func TestTicketGoesOnAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memkv.New(memkv.Config{})
		s := c.Open("a")
		x, stop := sessionOf(t, s)
		defer stop()
		x.want(true)
		time.Sleep(time.Second)
		ticket := x.now()
		c.SetFull(true)
		c.Stop()
		time.Sleep(20 * time.Second)
		if ticket.valid() {
			t.Error("valid while the store is stopped")
		}
		c.Start() // no lease ends while it is stopped
		time.Sleep(3 * time.Second)
		if x.now() != ticket || !ticket.valid() {
			t.Error("the key is there, and the ticket is not valid")
		}
	})
}

// TestTicketGoesOnAfterAShortCut: shorter than the session.
func TestTicketGoesOnAfterAShortCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memkv.New(memkv.Config{})
		s := c.Open("a")
		x, stop := sessionOf(t, s)
		defer stop()
		x.want(true)
		time.Sleep(time.Second)
		first := x.now()
		for range 20 {
			s.SetLink(memkv.Cut)
			time.Sleep(2500 * time.Millisecond)
			s.SetLink(memkv.Up)
			time.Sleep(2500 * time.Millisecond)
		}
		if x.now() != first || !first.valid() {
			t.Error("the ticket has ended")
		}
	})
}

// TestSessionWithoutAnswersEnds: requests arrive at the store, and its answers do not. The
// key must not stay, and the next one comes when the store answers.
func TestSessionWithoutAnswersEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memkv.New(memkv.Config{})
		s := c.Open("a")
		x, stop := sessionOf(t, s)
		defer stop()
		x.want(true)
		time.Sleep(time.Second)
		first := x.now()
		s.SetLink(memkv.HangReplies)
		time.Sleep(11 * time.Second)
		if first.valid() || len(keysOf(t, c)) != 0 {
			t.Errorf("valid %t, the store has %v", first.valid(), keysOf(t, c))
		}
		s.SetLink(memkv.Up)
		time.Sleep(3 * time.Second)
		if next := x.now(); next == nil || !next.valid() || next == first || len(keysOf(t, c)) != 1 {
			t.Errorf("the next is %+v, the store has %v", next, keysOf(t, c))
		}
	})
}

// TestSuspendedMachine: its monotonic clock has stood still.
func TestSuspendedMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := &ticket{base: time.Now(), drop: make(chan struct{}, 1)}
		now.extend(time.Now(), 5*time.Second)
		if !now.valid() {
			t.Error("it is not valid")
		}
		now.wall.Store(time.Now().Add(-time.Second).UnixNano())
		if now.left() <= 0 || now.valid() {
			t.Error("by the clock on the wall the session is over, and it is valid")
		}
	})
}

// TestCandidateNeedsSpace: a key that may be there is not relied on.
func TestCandidateNeedsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memkv.New(memkv.Config{})
		s := c.Open("a")
		x, stop := sessionOf(t, s)
		defer stop()
		s.Lose(memkv.DoneWithoutSpace, memkv.LostReply, memkv.LostRequest)
		x.want(true)
		synctest.Wait()
		if x.now() != nil || len(keysOf(t, c)) != 0 {
			t.Errorf("a key without certainty: %v", keysOf(t, c))
		}
		time.Sleep(10 * time.Second)
		if x.now() == nil || len(keysOf(t, c)) != 1 {
			t.Errorf("later: %v", keysOf(t, c))
		}
		c.SetFull(true)
		time.Sleep(time.Minute)
		if now := x.now(); now == nil || !now.valid() {
			t.Error("a full store ends the session")
		}
		x.now().abandon()
		time.Sleep(time.Minute)
		if x.now() != nil {
			t.Error("a key in a full store")
		}
		c.SetFull(false)
		time.Sleep(10 * time.Second)
		if x.now() == nil {
			t.Error("no key, and there is space")
		}
	})
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	b := backoff{first: 10 * time.Millisecond, most: time.Second}
	for i := range 100 {
		d := b.next()
		most := min(10*time.Millisecond<<min(i, 20), time.Second)
		if d < most/2 || d > most {
			t.Fatalf("pause %d is %v, want %v to %v", i, d, most/2, most)
		}
	}
	b.reset()
	if d := b.next(); d > 10*time.Millisecond {
		t.Errorf("after a success %v", d)
	}
}
