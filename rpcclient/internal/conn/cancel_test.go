package conn

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

var knowsCancel = answer{Knows: []string{"undo", "cancel", ""}}

// drain takes what the server has been asked so far.
func (s *script) drain() (all []asked) {
	synctest.Wait()
	for len(s.asked) > 0 {
		all = append(all, <-s.asked)
	}
	return all
}

// TestServerIsToldOfARequestThatIsGivenUp, once, by the caller or because it is late. That is
// so only if the server knows cancels, and the answer that it gives all the same is dropped.
func TestServerIsToldOfARequestThatIsGivenUp(t *testing.T) {
	for name, tt := range map[string]struct {
		pong answer
		told bool
	}{
		"cancel":         {knowsCancel, true},
		"nothing":        {answer{}, false},
		"unknown words":  {answer{Knows: []string{"undo", "cancels"}}, false},
		"a stock server": {answer{Error: "rpc: can't find service " + rpcwire.PingMethod}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := scripted(t, tt.pong, nil)
				byCaller := send(t, c, nil)
				late := send(t, c, func(req *Request) { req.Deadline = req.Start + time.Second })
				answered := send(t, c, nil)
				s.drain()
				s.say(answer{Seq: answered.seq}, 7)
				if <-answered.Done; c.Abandon(answered) {
					t.Error("a request with a result was given up")
				}
				if !c.Abandon(byCaller) {
					t.Error("the request was answered by nothing")
				}
				var want []asked
				if tt.told {
					want = []asked{{ServiceMethod: rpcwire.CancelMethod, Seq: byCaller.seq}}
				}
				if got := s.drain(); !reflect.DeepEqual(got, want) {
					t.Errorf("the server was told %+v, want %+v", got, want)
				}
				<-late.Done
				got := s.drain()
				if tt.told {
					want[0].Seq = late.seq
					if len(got) == 0 || !reflect.DeepEqual(got[:1], want) {
						t.Errorf("the server was told %+v, want %+v and a ping", got, want)
					}
				} else if len(got) != 1 || got[0].ServiceMethod != rpcwire.PingMethod {
					t.Errorf("the server was told %+v, want a ping", got)
				}
				for _, seq := range []uint64{byCaller.seq, late.seq} {
					s.say(answer{Seq: seq, Error: "canceled", NotExecuted: true, Wait: 1 << 40}, struct{}{})
				}
				again := send(t, c, nil)
				s.say(answer{Seq: again.seq}, 8)
				if <-again.Done; again.Err != nil || *again.Reply.(*int) != 8 {
					t.Error(again.Err)
				}
			})
		})
	}
}

// holds is an argument that is encoded when the test says so.
type holds struct{ begun, free chan struct{} }

func (h holds) GobEncode() ([]byte, error) {
	h.begun <- struct{}{}
	<-h.free
	return []byte{1}, nil
}

func (h *holds) GobDecode([]byte) error { return nil }

// TestCancelsWaitForTheRequestThatIsEncoded, and the goroutines that give up do not. Beyond
// the bound they are dropped.
func TestCancelsWaitForTheRequestThatIsEncoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, knowsCancel, nil)
		var all []*Request
		for range maxCancels + 10 {
			all = append(all, send(t, c, nil))
		}
		s.drain()
		h := holds{make(chan struct{}, 1), make(chan struct{})}
		go func() {
			req := NewRequest()
			req.Method, req.Args, req.Start = "A.B", h, c.Now()
			c.Send(t.Context(), req)
		}()
		<-h.begun
		for _, req := range all {
			if !c.Abandon(req) {
				t.Fatal("not given up")
			}
		}
		if got := s.drain(); len(got) != 0 {
			t.Fatalf("the server was told %d things while a request is encoded", len(got))
		}
		close(h.free)
		got := s.drain()
		if len(got) != 1+maxCancels || got[0].ServiceMethod != "A.B" {
			t.Fatalf("the server was told %d things", len(got))
		}
		for i, req := range got[1:] {
			if req.ServiceMethod != rpcwire.CancelMethod || req.Seq != all[i].seq {
				t.Fatalf("cancel %d is %+v", i, req)
			}
		}
	})
}

// TestCancelsDoNotQueueForAServerThatDoesNotRead.
func TestCancelsDoNotQueueForAServerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, knowsCancel, nil)
		req := send(t, c, nil)
		s.drain()
		c.mu.Lock()
		c.writing = true                               // as during a write that blocks
		c.out = make([]byte, c.MaxQueue, 2*c.MaxQueue) // and the queue is full
		c.mu.Unlock()
		if !c.Abandon(req) {
			t.Error("not given up")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.out) != c.MaxQueue || len(c.cancels) != 0 || c.cancelling.Load() {
			t.Errorf("%d bytes and %d cancels in the queue", len(c.out), len(c.cancels))
		}
	})
}
