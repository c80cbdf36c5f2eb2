package rpcclient

import (
	"context"
	"encoding/gob"
	"errors"
	"net"
	"net/rpc"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// oneByOne serves like rpc.Server.ServeRequest in a loop: pings wait for the calls before
// them. The argument of a call says how long it takes.
func oneByOne(nc net.Conn) {
	p := newPeer(nc)
	for {
		req, args, err := p.next()
		if err != nil {
			return
		}
		time.Sleep(time.Duration(args.A) * time.Second)
		p.answer(req.Seq, "", args.A)
	}
}

// freezes serves calls until one of them has the argument 99, and then reads no more. pong
// is the error in its answer to pings: rpcserver has none, a stock server has one.
func freezes(pong string) func(net.Conn) {
	return func(nc net.Conn) {
		dec, enc := gob.NewDecoder(nc), gob.NewEncoder(nc)
		for {
			var req rpc.Request
			if dec.Decode(&req) != nil {
				return
			}
			if req.ServiceMethod == rpcwire.PingMethod {
				dec.DecodeValue(reflect.Value{})
				enc.Encode(rpc.Response{Seq: req.Seq, Error: pong})
				enc.Encode(struct{}{})
				continue
			}
			var args Args
			if dec.Decode(&args) != nil {
				return
			}
			if args.A == 99 {
				for _, err := nc.Read(make([]byte, 4096)); err == nil; _, err = nc.Read(make([]byte, 4096)) {
				}
				return
			}
			enc.Encode(rpc.Response{Seq: req.Seq})
			enc.Encode(args.A)
		}
	}
}

func TestServerThatWorksOnOneCallAtATimeIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"serial:1": oneByOne})
		f.room = true
		defer time.Sleep(time.Minute) // the server ends the calls that it executes
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}, Timeout: time.Minute}, "serial:1")
		defer c.Close()
		ready(t, c)
		var calls []*rpc.Call
		for _, seconds := range []int{13, 14, 15} { // the last waits for the others
			calls = append(calls, c.Go(t.Context(), "Serial.Work", &Args{A: seconds}, new(int), nil))
		}
		time.Sleep(20 * time.Second)
		if _, err := Invoke[int](t.Context(), c, "Serial.Work", &Args{A: 1}); err != nil {
			t.Error("a call beside those:", err)
		}
		for _, call := range calls {
			if <-call.Done; call.Error != nil {
				t.Error(call.Args, call.Error)
			}
		}
	})
}

// TestFrozenServerIsFound within the interval and the time-out of a ping, with calls in
// flight. An rpcserver that answers no ping is hung, and its calls end at once. Another
// server may be at work: its calls keep their time, but it gets no new ones.
func TestFrozenServerIsFound(t *testing.T) {
	for pong, ends := range map[string]time.Duration{"": 12 * time.Second, "no such method": time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(map[string]func(net.Conn){"a:1": freezes(pong)})
			down := make(chan error, 10)
			c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}, Timeout: time.Minute, Trace: &Trace{Disconnected: func(_ string, err error) {
				down <- err
			}}}, "a:1")
			defer c.Close()
			ready(t, c)
			begin := time.Now()
			call := c.Go(t.Context(), "Frozen.Do", &Args{A: 99}, new(int), nil)
			f.set("a:1", deaf) // it accepts connections, and reads nothing
			if why := <-down; !errors.Is(why, conn.ErrSilent) || time.Since(begin) != 12*time.Second {
				t.Errorf("pong %q: down after %v: %v", pong, time.Since(begin), why)
			}
			<-call.Done
			var e *Error
			if took := time.Since(begin); took != ends || !errors.As(call.Error, &e) || e.Executed != ExecutedMaybe {
				t.Errorf("pong %q: the call ended after %v: %v", pong, took, call.Error)
			}
		})
	}
}

// TestReaderAtWorkIsNoSilence: while a reply takes long to decode, answers to pings are not
// read, and that is not the fault of the server.
func TestReaderAtWorkIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"a:1": stock(Slow{}, &Arith{})})
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}, Timeout: time.Minute}, "a:1")
		defer c.Close()
		ready(t, c)
		slow := c.Go(t.Context(), "Slow.Get", 0, new(SlowReply), nil)
		synctest.Wait()
		other := c.Go(t.Context(), "Arith.Multiply", &Args{2, 3}, new(int), nil)
		for _, call := range []*rpc.Call{slow, other} {
			if <-call.Done; call.Error != nil {
				t.Error(call.Error)
			}
		}
		if n := len(f.dialled("a:1")); n != 1 {
			t.Errorf("%d dials", n)
		}
	})
}

type (
	Slow      struct{}
	SlowReply struct{}
)

func (Slow) Get(int, *SlowReply) error { return nil }

func (SlowReply) GobEncode() ([]byte, error) { return []byte{1}, nil }

func (*SlowReply) GobDecode([]byte) error {
	time.Sleep(30 * time.Second)
	return nil
}

// SlowArg takes as long to encode as it says.
type SlowArg struct{ D time.Duration }

func (s SlowArg) GobEncode() ([]byte, error) { time.Sleep(s.D); return []byte{1}, nil }

func (s *SlowArg) GobDecode([]byte) error { return nil }

func (Slow) Put(SlowArg, *int) error { return nil }

// TestSlowEncoderDelaysNoOtherCall: with a second connection, other calls are answered at
// once. Without one, they end at their own deadlines. The connection can be ended at any
// moment.
func TestSlowEncoderDelaysNoOtherCall(t *testing.T) {
	for conns := 1; conns <= 2; conns++ {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(map[string]func(net.Conn){"a:1": stock(Slow{}, &Arith{})})
			c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: conns}}, "a:1")
			defer c.Close()
			allUp(t, c, 1)
			slow := make(chan error, 1)
			go func() { slow <- c.Call(t.Context(), "Slow.Put", SlowArg{2 * time.Second}, new(int)) }()
			time.Sleep(2 * time.Millisecond)
			begin := time.Now()
			ended := make(chan error, 20)
			for range cap(ended) {
				go func() {
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					defer cancel()
					ended <- c.Call(ctx, "Arith.Multiply", &Args{2, 3}, new(int))
				}()
			}
			for range cap(ended) {
				err := <-ended
				took := time.Since(begin)
				if conns == 2 && (err != nil || took > 0) {
					t.Errorf("beside a slow encoder: %v after %v", err, took)
				}
				if conns == 1 && (!errors.Is(err, context.DeadlineExceeded) || took != 100*time.Millisecond) {
					t.Errorf("after %v: %v", took, err)
				}
			}
			for _, n := range allNodes(c) {
				for _, cn := range *n.usable.Load() {
					cn.Fail(errors.New("lost"))
				}
			}
			if took := time.Since(begin); took > 100*time.Millisecond {
				t.Errorf("to end it took %v", took)
			}
			if err := <-slow; err != nil {
				t.Error("tried again:", err)
			}
		})
	}
}
