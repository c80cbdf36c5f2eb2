package member

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// TestStaleUntilCaughtUp: a member that was stale stays so until it has what the store had
// when the store was heard again, and no longer, even if the store changes all the time.
func TestStaleUntilCaughtUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		writer bool // the writer is cut off
		how    memkv.Link
		delay  time.Duration // of what the member hears after that
		stream bool          // there are changes all the time
	}{
		{name: "a follower", how: memkv.Cut},
		{name: "a follower whose link hangs", how: memkv.Hang},
		{name: "a follower that gets no replies", how: memkv.HangReplies},
		{name: "a follower, slow", how: memkv.Cut, delay: 300 * time.Millisecond},
		{name: "a follower that is always behind", how: memkv.Cut, delay: 200 * time.Millisecond, stream: true},
		{name: "the writer", writer: true, how: memkv.Cut},
		{name: "the writer, and changes", writer: true, how: memkv.Hang, delay: 200 * time.Millisecond, stream: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, memkv.Config{}, func(t *testing.T, all *cluster) {
				away, other := all.two()
				if !c.writer {
					away, other = other, away
				}
				away.link.SetLink(c.how)
				time.Sleep(8 * time.Second)
				if !away.member.Health().Stale || !other.member.Health().Writer {
					t.Fatalf("%+v, the other %+v", away.member.Health(), other.member.Health())
				}
				for i := range 5 {
					other.register(t, fmt.Sprintf("a%d", i))
				}
				// Messages of before the absence have arrived, or were lost.
				time.Sleep(3 * time.Second)
				want := other.reg.Revision()
				away.link.Delay(c.delay)
				away.link.SetLink(memkv.Up)
				ended := time.Duration(0)
				began := time.Now()
				for n := 0; time.Since(began) < 20*time.Second; n++ {
					time.Sleep(10 * time.Millisecond)
					if c.stream && n%10 == 0 {
						other.register(t, fmt.Sprintf("b%d", n))
					}
					h, have := away.member.Health(), away.reg.Revision()
					switch {
					case h.Stale != (h.Reason != ""):
						t.Fatalf("DNS and the load balancer are told different things: %+v", h)
					case h.Stale && ended != 0:
						t.Fatalf("stale again after %v: %+v", time.Since(began), h)
					case !h.Stale && have < want:
						t.Fatalf("not stale after %v, at revision %d; the store had %d when it was back", time.Since(began), have, want)
					case !h.Stale && ended == 0:
						ended = time.Since(began)
					}
				}
				if ended == 0 || ended > 12*time.Second {
					t.Errorf("stale for %v after the store was back", ended)
				}
				t.Log("stale for", ended)
			})
		})
	}
}

// TestNewMemberIsNotStale: one that waited for the store has no content from before.
func TestNewMemberIsNotStale(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		c.store.Stop()
		n := c.start()
		time.Sleep(20 * time.Second)
		c.store.Start()
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			if h := n.member.Health(); h.Stale {
				t.Fatalf("%+v", h)
			}
		}
		c.settled()
	})
}
