package conn

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestDeadlinesGiveTheEarliestFirst, whatever was added and removed before.
func TestDeadlinesGiveTheEarliestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d deadlines
		in := make(map[*Request]bool)
		var made []*Request
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if len(in) == 0 || rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				req := &Request{Deadline: time.Duration(rapid.IntRange(1, 50).Draw(t, "deadline"))}
				d.add(req)
				in[req], made = true, append(made, req)
			} else if req := made[rapid.IntRange(0, len(made)-1).Draw(t, "which")]; in[req] {
				d.remove(req)
				delete(in, req)
			}
			if len(d) != len(in) {
				t.Fatalf("%d in the heap, want %d", len(d), len(in))
			}
			for i, req := range d {
				if req.slot != i+1 || !in[req] {
					t.Fatalf("slot %d holds one of slot %d", i+1, req.slot)
				}
			}
		}
		last := time.Duration(0)
		for len(d) > 0 {
			req := d[0]
			if req.Deadline < last {
				t.Fatalf("%v after %v", req.Deadline, last)
			}
			last = req.Deadline
			d.remove(req)
			if req.slot != 0 {
				t.Fatal("it keeps its slot")
			}
		}
	})
}

// stuck is a connection whose writes do not come back, not even when it is closed.
type stuck struct {
	net.Conn
	free chan struct{}
}

func (s *stuck) Write([]byte) (int, error) {
	<-s.free
	return 0, net.ErrClosed
}

// TestDeadlinesHoldThoughAWriteDoesNotComeBack: the connection has ended, and it is not
// known yet what was written. The requests do not wait for that.
func TestDeadlinesHoldThoughAWriteDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		s := &stuck{ours, make(chan struct{})}
		owner := &recorder{dead: make(chan struct{}, 1)}
		c := NewSet(testConfig()).Start(s, owner)
		timed := &Request{Method: "A.B", Args: 1, Done: make(chan struct{}, 1), Start: c.Now(), Deadline: c.Now() + time.Second}
		endless := &Request{Method: "A.B", Args: 2, Done: make(chan struct{}, 1), Start: c.Now()}
		for _, req := range []*Request{timed, endless} {
			if err := c.Send(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		c.Fail(errPeerClosed)
		begin := time.Now()
		<-timed.Done
		if took := time.Since(begin); took != time.Second || timed.Executed != Maybe || !errors.Is(timed.Err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v, %v", took, timed.Executed, timed.Err)
		}
		if len(endless.Done) > 0 || len(owner.dead) > 0 {
			t.Error("settled before the write has come back")
		}
		close(s.free)
		<-endless.Done
		if endless.Executed != Never || !errors.Is(endless.Err, errNotWritten) {
			t.Errorf("of what was not written: %v, %v", endless.Executed, endless.Err)
		}
		c.Wait()
		<-owner.dead
	})
}
