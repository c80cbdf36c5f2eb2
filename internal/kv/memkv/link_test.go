package memkv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// bubble runs a test with two connections to a store.
func bubble(t *testing.T, test func(t *testing.T, c *Cluster, a, b *Store)) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		test(t, c, c.Open("a"), c.Open("b"))
	})
}

// later calls f, and returns what gives its error. It waits until f has ended or hangs.
func later(f func() error) <-chan error {
	err := make(chan error, 1)
	go func() { err <- f() }()
	synctest.Wait()
	return err
}

// ended is what later's function returned. It fails the test if it still hangs.
func ended(t *testing.T, err <-chan error) error {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-err:
		return err
	default:
		t.Fatal("it hangs")
		return nil
	}
}

func hangs(t *testing.T, what string, err <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-err:
		t.Errorf("%s does not hang: %v", what, err)
	default:
	}
}

func TestLinks(t *testing.T) {
	for _, tc := range []struct {
		link        Link
		read, write error // of a read, and of what writes
		done        bool
		at          time.Duration // when the call returns
		watch       error
	}{
		{Up, nil, nil, true, 0, nil},
		{Cut, kv.ErrUnavailable, kv.ErrUnavailable, false, 0, kv.ErrUnavailable},
		{Hang, context.DeadlineExceeded, kv.ErrUncertain, false, time.Second, context.DeadlineExceeded},
		{HangReplies, context.DeadlineExceeded, kv.ErrUncertain, true, time.Second, context.DeadlineExceeded},
		{Deny, kv.ErrDenied, kv.ErrDenied, false, 0, kv.ErrDenied},
	} {
		t.Run(tc.link.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
				l, err := a.Grant(t.Context(), time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				open := a.Watch(t.Context(), "", c.Revision())
				a.SetLink(tc.link)
				call := func(what string, want error, f func(context.Context) error) {
					t.Helper()
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					begun := time.Now()
					wantErr(t, what, f(ctx), want)
					if d := time.Since(begun); d != tc.at {
						t.Errorf("%s returned after %v, want %v", what, d, tc.at)
					}
				}
				call("get", tc.read, func(ctx context.Context) error { _, _, err := a.Get(ctx, "k"); return err })
				call("range", tc.read, func(ctx context.Context) error {
					_, err := a.Range(ctx, "k", 0, func(kv.Pair) error { return nil })
					return err
				})
				call("keep alive", tc.read, func(ctx context.Context) error { return a.KeepAlive(ctx, l.ID) })
				call("transaction", tc.write, func(ctx context.Context) error { _, err := a.Txn(ctx, put("k", "v")); return err })
				call("grant", tc.write, func(ctx context.Context) error { _, err := a.Grant(ctx, time.Minute); return err })
				call("watch", tc.watch, func(ctx context.Context) error { _, err := open.Next(ctx); return err })
				call("new watch", tc.watch, func(ctx context.Context) error { _, err := a.Watch(ctx, "", 0).Next(ctx); return err })
				if done := value(t, b, "k") == "v"; done != tc.done {
					t.Errorf("done is %v", done)
				}
				call("revoke", tc.write, func(ctx context.Context) error { return a.Revoke(ctx, l.ID) })
				if gone := b.KeepAlive(t.Context(), l.ID) != nil; gone != tc.done {
					t.Errorf("the lease was revoked: %v", gone)
				}
				call("status", nil, func(ctx context.Context) error {
					if st := a.Status(ctx); (st.Error == "") != (tc.read == nil) || st.Nodes[0].Healthy != (tc.read == nil) {
						t.Errorf("the status is %+v", st)
					}
					return nil
				})
				a.SetLink(Up)
				if value(t, a, "k") != value(t, b, "k") {
					t.Error("the link does not work again")
				}
			})
		})
	}
}

func TestALinkThatHangsHoldsWhatIsOnItsWay(t *testing.T) {
	for link, arrives := range map[Link]bool{Hang: false, HangReplies: true} {
		for then, want := range map[Link]error{Up: nil, Cut: kv.ErrUncertain, Deny: kv.ErrUncertain} {
			t.Run(fmt.Sprintf("%v then %v", link, then), func(t *testing.T) {
				bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
					w := a.Watch(t.Context(), "", c.Revision())
					a.SetLink(link)
					txn := later(func() error { _, err := a.Txn(t.Context(), put("k", "v")); return err })
					get := later(func() error { _, _, err := a.Get(t.Context(), "k"); return err })
					watch := later(func() error { _, err := w.Next(t.Context()); return err })
					do(t, b, put("other", ""))
					hangs(t, "the transaction", txn)
					hangs(t, "the watch", watch)
					if got := value(t, b, "k") == "v"; got != arrives {
						t.Errorf("the transaction has arrived: %v", got)
					}
					a.SetLink(then)
					a.SetLink(Up) // a link that was cut for a moment was cut
					wantErr(t, "transaction", ended(t, txn), want)
					if got := value(t, b, "k") == "v"; got != (arrives || then == Up) {
						t.Errorf("the transaction was done: %v", got)
					}
					if then == Up {
						wantErr(t, "get", ended(t, get), nil)
						wantErr(t, "watch", ended(t, watch), nil)
						return
					}
					wantErr(t, "get", ended(t, get), kv.ErrUnavailable)
					if err := ended(t, watch); !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, kv.ErrDenied) {
						t.Errorf("watch: %v", err)
					}
				})
			})
		}
	}
}

func TestAWatchThatHungMissesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
		w := a.Watch(t.Context(), "", c.Revision())
		var want []string
		for i, link := range []Link{Hang, Up, HangReplies, Up} {
			a.SetLink(link)
			want = append(want, fmt.Sprintf("%d k=%d", do(t, b, put("k", fmt.Sprint(i))), i))
		}
		if got := next(t, w); !slices.Equal(got, want) {
			t.Errorf("the watch has %q, want %q", got, want)
		}
	})
}

func TestLosses(t *testing.T) {
	for _, tc := range []struct {
		loss    Loss
		err     error
		done    bool // when the caller is told
		arrives bool // after Arrive
	}{
		{LostRequest, kv.ErrUncertain, false, false},
		{LostReply, kv.ErrUncertain, true, true},
		{Late, kv.ErrUncertain, false, true},
		{DoneWithoutSpace, kv.ErrNoSpace, true, true},
	} {
		bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
			what := fmt.Sprintf("loss %d", tc.loss)
			a.Lose(tc.loss)
			if _, err := a.Grant(t.Context(), time.Second); err != nil || value(t, a, "k") != "" {
				t.Errorf("%s: it is for transactions only: %v", what, err)
			}
			txn := put("k", "1")
			_, err := a.Txn(t.Context(), txn)
			wantErr(t, what, err, tc.err)
			txn.Then[0].Value[0] = '2' // the caller uses its slice again
			if done := value(t, b, "k") == "1"; done != tc.done {
				t.Errorf("%s: done is %v when the caller is told", what, done)
			}
			a.Arrive()
			if done := value(t, b, "k") == "1"; done != tc.arrives {
				t.Errorf("%s: done is %v in the end", what, done)
			}
			do(t, a, put("k", "3")) // this one is not lost
		})
	}
}

func TestALateTransactionMeetsItsConditions(t *testing.T) {
	bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
		r := do(t, a, put("head", "1"))
		txn := func(value string) kv.Txn {
			return kv.Txn{If: []kv.Compare{{Key: "head", Is: r}}, Then: put("head", value).Then}
		}
		a.Lose(Late, Late, LostRequest)
		for _, value := range []string{"late", "later", "lost"} {
			_, err := a.Txn(t.Context(), txn(value))
			wantErr(t, value, err, kv.ErrUncertain)
		}
		do(t, a, txn("again"))
		a.Arrive()
		if got := value(t, a, "head"); got != "again" {
			t.Errorf("head is %q", got)
		}
		if got := c.Revision(); got != r+1 {
			t.Errorf("the revision is %d, want %d", got, r+1)
		}
	})
}

func TestDelay(t *testing.T) {
	bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
		const d = 100 * time.Millisecond
		w := a.Watch(t.Context(), "", c.Revision())
		a.Delay(d)
		begun := time.Now()
		took := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Since(begun); got != want {
				t.Errorf("%s took %v, want %v", what, got, want)
			}
			begun = time.Now()
		}
		do(t, b, put("k", "1"))
		next(t, w)
		took("a delivery", d)
		do(t, a, put("k", "2"))
		took("a transaction", 2*d)

		for wait, done := range map[time.Duration]bool{d / 2: false, 3 * d / 2: true} {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			_, err := a.Txn(ctx, put("k", wait.String()))
			wantErr(t, "a transaction that is given up", err, kv.ErrUncertain)
			if got := value(t, b, "k") == wait.String(); got != done {
				t.Errorf("given up after %v, the transaction was done: %v", wait, got)
			}
		}
	})
}

// TestAWatchOvertakesAnAnswer: a client hears of its transaction from its watch first.
func TestAWatchOvertakesAnAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, c *Cluster, a, b *Store) {
		const d = 100 * time.Millisecond
		w := a.Watch(t.Context(), "", c.Revision())
		a.DelayAnswers(d)
		begun := time.Now()
		heard := make(chan time.Duration, 1)
		go func() {
			next(t, w)
			heard <- time.Since(begun)
		}()
		do(t, a, put("k", "1"))
		if answered, heard := time.Since(begun), <-heard; heard != 0 || answered != d {
			t.Errorf("the watch delivered after %v, the answer came after %v; want 0 and %v", heard, answered, d)
		}
	})
}

// TestNoAnswerIsALie: what was done is in the history; what was not done is not;
// and the history is what a watch has seen in spite of all faults.
func TestNoAnswerIsALie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A bubble does not allow all that rapid asks of a *testing.T.
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
			c := New(Config{})
			a, b := c.Open("a"), c.Open("b")
			defer a.Close()
			defer b.Close()
			begin := c.Revision()
			outcomes := map[string]error{}
			var seen []string
			after, w := begin, a.Watch(context.Background(), "k/", begin)
			read := func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
				defer cancel()
				changes, err := w.Next(ctx)
				if err != nil {
					w = a.Watch(context.Background(), "k/", after)
					return
				}
				for _, e := range changes.Events {
					seen = append(seen, e.Key)
				}
				after = changes.Header.Revision
			}
			for i := range rapid.IntRange(1, 30).Draw(rt, "steps") {
				switch rapid.IntRange(0, 7).Draw(rt, "step") {
				case 0:
					a.SetLink(rapid.SampledFrom([]Link{Up, Cut, Hang, HangReplies, Deny}).Draw(rt, "link"))
				case 1:
					a.Lose(rapid.SampledFrom([]Loss{LostRequest, LostReply, Late, DoneWithoutSpace}).Draw(rt, "loss"))
				case 2:
					a.Arrive()
				case 3:
					c.Stop()
				case 4:
					c.Start()
				case 5:
					read()
				default:
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					key := fmt.Sprintf("k/%02d", i)
					_, outcomes[key] = a.Txn(ctx, put(key, ""))
					cancel()
				}
			}
			c.Start()
			a.SetLink(Up)
			a.Arrive()
			var history []string
			if _, err := b.Range(context.Background(), "k/", 0, func(p kv.Pair) error { history = append(history, p.Key); return nil }); err != nil {
				rt.Fatal(err)
			}
			for key, err := range outcomes {
				done := slices.Contains(history, key)
				switch {
				case err == nil && !done:
					rt.Errorf("%s was answered, and is not there", key)
				case done && (errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrDenied)):
					rt.Errorf("%s is there after %v", key, err)
				}
			}
			for after < c.Revision() {
				read()
			}
			slices.Sort(seen) // a late one comes after its time
			if !slices.Equal(seen, history) {
				rt.Errorf("the watch has seen %q, the history is %q", seen, history)
			}
		})
	})
}
