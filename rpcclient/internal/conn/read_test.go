package conn

import (
	"net/rpc"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// TestErrorAtTheDeadlineIsTheDeadlines: a method that knows the deadline answers at the same
// moment as the timer fires.
func TestErrorAtTheDeadlineIsTheDeadlines(t *testing.T) {
	for _, travels := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c, s := scripted(t, answer{}, nil)
			c.mu.Lock()
			c.timer.Stop() // it is late
			c.armed = 1
			c.mu.Unlock()
			req := send(t, c, func(req *Request) { req.Travels, req.Deadline = travels, req.Start+time.Second })
			s.drain()
			time.Sleep(time.Second)
			s.say(answer{Seq: req.seq, Error: "context deadline exceeded"}, struct{}{})
			<-req.Done
			if _, ok := req.Err.(TimeoutError); ok != travels || ok != (req.Executed == Maybe) {
				t.Errorf("travels: %v; executed %v, %v", travels, req.Executed, req.Err)
			}
		})
	}
}

// TestAnswersThatRefuse: the request is never executed, whatever else the answer says, and
// the connection goes on.
func TestAnswersThatRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, answer{}, nil)
		for name, tt := range map[string]struct {
			say  answer
			body any
			exec Executed
			want error
		}{
			"refused":              {answer{Error: "busy", NotExecuted: true}, struct{}{}, Never, &RefusedError{Text: "busy"}},
			"with a time":          {answer{Error: "busy", NotExecuted: true, Wait: 1500}, struct{}{}, Never, &RefusedError{"busy", 1500 * time.Millisecond}},
			"a time without end":   {answer{Error: "busy", NotExecuted: true, Wait: 1<<64 - 1}, struct{}{}, Never, &RefusedError{"busy", time.Minute}},
			"without a reason":     {answer{NotExecuted: true}, struct{}{}, Never, &RefusedError{}},
			"with a reply":         {answer{NotExecuted: true}, 7, Never, &RefusedError{}},
			"a time alone":         {answer{Error: "no", Wait: 5}, struct{}{}, Yes, rpc.ServerError("no")},
			"words at a wrong end": {answer{Knows: []string{"cancel", "x"}}, 7, Yes, nil},
		} {
			req := send(t, c, nil)
			tt.say.Seq = req.seq
			s.say(tt.say, tt.body)
			<-req.Done
			if req.Executed != tt.exec || !reflect.DeepEqual(req.Err, tt.want) {
				t.Errorf("%s: executed %v, %#v", name, req.Executed, req.Err)
			}
			if reply := *req.Reply.(*int); (reply != 0) != (tt.want == nil) {
				t.Errorf("%s: the reply is %d", name, reply)
			}
		}
		if c.knows.Load() != 0 {
			t.Error("what is in the answer of a call counts as that of a ping")
		}
		twice := send(t, c, nil)
		s.say(answer{Seq: twice.seq}, 7)
		s.say(answer{Seq: twice.seq, NotExecuted: true}, struct{}{})
		if <-twice.Done; twice.Err != nil {
			t.Error(twice.Err)
		}
		synctest.Wait()
		if !c.Usable() || len(twice.Done) > 0 {
			t.Error("a second answer has an effect")
		}
	})
}
