package conn

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// hears is an owner that notes whether the server serves.
type hears struct {
	nobody
	said chan bool
}

func (h hears) Serving(_ *Conn, yes bool) { h.said <- yes }

// TestPingsTellWhetherTheServerServes: one that does not is pinged more often.
func TestPingsTellWhetherTheServerServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hears{said: make(chan bool, 10)}
		c, s := scripted(t, answer{NotExecuted: true}, h)
		if <-h.said || !c.prompt.Load() {
			t.Error("the first ping is not understood")
		}
		for _, tt := range []struct {
			after time.Duration
			pong  answer
		}{
			{awayInterval, answer{NotExecuted: true, Wait: 1 << 60, Knows: []string{"sleep"}}},
			{awayInterval, answer{}},
			{c.PingInterval, answer{NotExecuted: true}},
			{awayInterval, answer{Error: "no such method"}},
		} {
			begin := time.Now()
			ping := <-s.asked
			if took := time.Since(begin); ping.ServiceMethod != rpcwire.PingMethod || took != tt.after {
				t.Errorf("%+v after %v, want a ping after %v", ping, took, tt.after)
			}
			tt.pong.Seq = ping.Seq
			s.say(tt.pong, struct{}{})
			if yes := <-h.said; yes == tt.pong.NotExecuted {
				t.Errorf("%+v is understood as serving: %v", tt.pong, yes)
			}
		}
	})
}

// TestRefusedRequestAsksWhetherAllAreRefused, once a second at most.
func TestRefusedRequestAsksWhetherAllAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, answer{}, nil)
		pings := 0
		for range 25 { // in 2.4 seconds
			req := send(t, c, nil)
			s.say(answer{Seq: req.seq, Error: "busy", NotExecuted: true}, struct{}{})
			<-req.Done
			for _, req := range s.drain() {
				if req.ServiceMethod == rpcwire.PingMethod {
					s.say(answer{Seq: req.Seq}, struct{}{})
					pings++
				}
			}
			time.Sleep(doubtInterval / 10)
		}
		if pings != 3 {
			t.Errorf("%d pings", pings)
		}
	})
}

// TestAnswerAsksWhetherTheServerServesAgain: a busy connection is not silent, so that no other
// ping is due.
func TestAnswerAsksWhetherTheServerServesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hears{said: make(chan bool, 10)}
		c, s := scripted(t, answer{NotExecuted: true}, h)
		<-h.said
		pings := 0
		for i := range 30 { // in 3 seconds, of which it does not serve the first two
			req := send(t, c, nil)
			s.say(answer{Seq: req.seq, NotExecuted: i < 20 && i%2 == 0}, 7)
			<-req.Done
			for _, req := range s.drain() {
				if req.ServiceMethod == rpcwire.PingMethod {
					s.say(answer{Seq: req.Seq, NotExecuted: i < 20}, struct{}{})
					pings++
					if yes := <-h.said; yes != (i >= 20) {
						t.Errorf("after %d answers it is said to serve: %v", i, yes)
					}
				}
			}
			time.Sleep(doubtInterval / 10)
		}
		if pings != 3 {
			t.Errorf("%d pings", pings)
		}
	})
}
