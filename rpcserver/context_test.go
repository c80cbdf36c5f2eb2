package rpcserver_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Both has methods of both forms. Wait tells begun that it runs, and ends with its context.
type Both struct {
	begun chan context.Context
	ended chan error // why the context did
}

func newBoth() *Both { return &Both{make(chan context.Context, 100), make(chan error, 100)} }

func (*Both) Plain(n int, reply *int) error {
	*reply = n + 1
	return nil
}

func (*Both) Pointer(ctx context.Context, args *Args, reply *int) error {
	*reply = args.A + args.B
	return ctx.Err()
}

func (*Both) Describe(ctx context.Context, key string, reply *string) error {
	call := rpcserver.CallFrom(ctx)
	value, _ := call.Meta.Get(key)
	*reply = call.Method + " " + call.Peer.Addr.Network() + " " + value
	return nil
}

func (b *Both) Wait(ctx context.Context, n int, reply *int) error {
	b.begun <- ctx
	<-ctx.Done()
	b.ended <- context.Cause(ctx)
	return ctx.Err()
}

// Hold is a plain method that runs until the test lets it go on.
func (b *Both) Hold(n int, reply *int) error {
	b.begun <- nil
	*reply = n
	return <-b.ended
}

// wireClient speaks the wire of rpcclient, one message at a time.
type wireClient struct {
	nc net.Conn
	w  *rpcwire.Writer
	d  *rpcwire.Reader
}

func wireTo(t testing.TB, addr string) *wireClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs says where
	return wireOn(t, nc)
}

func wireOn(t testing.TB, nc net.Conn) *wireClient {
	t.Cleanup(func() { nc.Close() })
	return &wireClient{nc, rpcwire.NewWriter(new(rpcwire.Types)), rpcwire.NewResponseReader(nc, 1<<20, new(rpcwire.Types))}
}

func (c *wireClient) send(t testing.TB, req rpcwire.Request, args any) {
	t.Helper()
	b, err := c.w.AppendRequest(nil, &req, args)
	if err == nil {
		_, err = c.nc.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *wireClient) cancel(t testing.TB, seq uint64) {
	t.Helper()
	c.send(t, rpcwire.Request{ServiceMethod: rpcwire.CancelMethod, Seq: seq}, struct{}{})
}

func (c *wireClient) recv(t testing.TB, reply any) rpcwire.Response {
	t.Helper()
	var resp rpcwire.Response
	if err := errors.Join(c.d.Response(&resp), c.d.Next()); err != nil {
		t.Fatal("reading a response:", err)
	}
	if resp.Error != "" {
		reply = nil
	}
	if bad, broken := c.d.Body(reply); bad != nil || broken != nil {
		t.Fatal("reading a reply:", bad, broken)
	}
	return resp
}

func (c *wireClient) ping(t testing.TB, seq uint64) rpcwire.Response {
	t.Helper()
	c.send(t, rpcwire.Request{ServiceMethod: rpcwire.PingMethod, Seq: seq}, struct{}{})
	return c.recv(t, nil)
}

func meta(t testing.TB, pairs ...string) callmeta.Meta {
	t.Helper()
	m, err := callmeta.Of(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMethodsOfBothForms in one receiver, called by net/rpc's client.
func TestMethodsOfBothForms(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{}, newBoth())
	c := dial(t, addr)
	var n int
	if err := c.Call("Both.Plain", 1, &n); err != nil || n != 2 {
		t.Error(n, err)
	}
	for range 3 {
		if err := c.Call("Both.Pointer", Args{2, 3}, &n); err != nil || n != 5 {
			t.Error(n, err)
		}
	}
	var text string
	if err := c.Call("Both.Describe", "key", &text); err != nil || text != "Both.Describe tcp " {
		t.Errorf("%q, %v", text, err)
	}
}

func TestMetadataReachesTheMethod(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{}, newBoth())
	c := wireTo(t, addr)
	for seq, value := range []string{"", "x", strings.Repeat("v", 5000)} {
		c.send(t, rpcwire.Request{ServiceMethod: "Both.Describe", Seq: uint64(seq + 1), Meta: meta(t, "a", "1", "key", value)}, "key")
		var text string
		if resp := c.recv(t, &text); resp.Error != "" || text != "Both.Describe tcp "+value {
			t.Errorf("%+v: %.50s", resp, text)
		}
	}
	// Metadata that the method does not ask for costs it nothing, and changes nothing.
	c.send(t, rpcwire.Request{ServiceMethod: "Both.Plain", Seq: 9, Timeout: time.Hour, Meta: meta(t, "a", "1")}, 1)
	var n int
	if resp := c.recv(t, &n); resp.Seq != 9 || n != 2 {
		t.Error(resp, n)
	}
	if call := rpcserver.CallFrom(t.Context()); call.Method != "" || call.Meta.Len() != 0 || call.Args() != nil || call.Reply() != nil {
		t.Errorf("another context has the call %+v", call)
	}
}

// TestContextEnds, and its cause says why.
func TestContextEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end   func(t *testing.T, s *rpcserver.Server, c *wireClient)
		cause error
		err   error
	}{
		"by a cancel": {func(t *testing.T, _ *rpcserver.Server, c *wireClient) {
			c.cancel(t, 3)
			if resp := c.recv(t, nil); resp.Seq != 3 || resp.Error != context.Canceled.Error() || resp.NotExecuted {
				t.Errorf("it is answered with %+v", resp)
			}
			if resp := c.ping(t, 4); resp.Seq != 4 {
				t.Errorf("it is answered again: %+v", resp)
			}
		}, rpcserver.ErrGaveUp, context.Canceled},
		"with the connection": {func(_ *testing.T, _ *rpcserver.Server, c *wireClient) { c.nc.Close() }, rpcserver.ErrDisconnected, context.Canceled},
		"with the server":     {func(_ *testing.T, s *rpcserver.Server, _ *wireClient) { s.Close() }, rpcserver.ErrServerClosed, context.Canceled},
		"with a shutdown's time": {func(t *testing.T, s *rpcserver.Server, _ *wireClient) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			s.Shutdown(ctx)
		}, rpcserver.ErrServerClosed, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoth()
			s, addr := serve(t, rpcserver.Config{Quiet: time.Millisecond}, b)
			c := wireTo(t, addr)
			if resp := c.ping(t, 1); resp.Knows != rpcwire.KnowsCancel || resp.NotExecuted {
				t.Errorf("a ping is answered with %+v", resp)
			}
			c.send(t, rpcwire.Request{ServiceMethod: "Both.Wait", Seq: 3}, 1)
			ctx := <-b.begun
			if _, has := ctx.Deadline(); has || ctx.Err() != nil || context.Cause(ctx) != nil {
				t.Error("it has ended before:", ctx.Err())
			}
			tt.end(t, s, c)
			if cause := <-b.ended; cause != tt.cause || ctx.Err() != tt.err {
				t.Errorf("the cause is %v, the error %v", cause, ctx.Err())
			}
		})
	}
}

// TestDeadlineTravels as time that is left: the context of the method ends with it.
func TestDeadlineTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth()
		s := rpcserver.New(rpcserver.Config{})
		s.Register(b)
		client, at := net.Pipe()
		go s.ServeConn(at)
		c := wireOn(t, client)
		c.send(t, rpcwire.Request{ServiceMethod: "Both.Wait", Seq: 1, Timeout: 3 * time.Second}, 1)
		ctx := <-b.begun
		if at, has := ctx.Deadline(); !has || time.Until(at) != 3*time.Second {
			t.Error("the deadline is in", time.Until(at))
		}
		begin := time.Now()
		if cause := <-b.ended; cause != context.DeadlineExceeded || time.Since(begin) != 3*time.Second {
			t.Error(cause, "after", time.Since(begin))
		}
		if resp := c.recv(t, nil); resp.Error != context.DeadlineExceeded.Error() || resp.NotExecuted {
			t.Errorf("%+v", resp)
		}
		s.Close()
		client.Close()
		synctest.Wait()
	})
}

// TestContextsAreLazyAndRight: a context that nothing waits for ends all the same, and one
// that was derived from it ends with it.
func TestContextsAreLazyAndRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth()
		s := rpcserver.New(rpcserver.Config{})
		err := rpcserver.Handle(s, "Lazy.Do", func(ctx context.Context, asks bool) (bool, error) {
			if asks {
				derived, cancel := context.WithCancel(context.WithValue(ctx, t, 1))
				defer cancel()
				ctx = derived
				b.begun <- ctx
				<-ctx.Done()
			} else {
				b.begun <- ctx
				time.Sleep(2 * time.Second)
			}
			b.ended <- ctx.Err()
			return true, ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		client, at := net.Pipe()
		go s.ServeConn(at)
		c := wireOn(t, client)
		seq := uint64(0)
		for _, asks := range []bool{false, true} {
			for _, timeout := range []time.Duration{0, time.Second} {
				seq++
				c.send(t, rpcwire.Request{ServiceMethod: "Lazy.Do", Seq: seq, Timeout: timeout}, asks)
				ctx := <-b.begun
				want, cause := context.DeadlineExceeded, context.DeadlineExceeded
				if timeout == 0 {
					c.cancel(t, seq)
					want, cause = context.Canceled, rpcserver.ErrGaveUp
				}
				if err := <-b.ended; err != want || context.Cause(ctx) != cause || ctx.Err() != want {
					t.Errorf("asks %v, timeout %v: %v, then %v by %v", asks, timeout, err, ctx.Err(), context.Cause(ctx))
				}
				if resp := c.recv(t, nil); resp.Seq != seq || resp.Error != want.Error() {
					t.Errorf("%+v", resp)
				}
			}
		}
		// What a method leaves running sees that its call is over.
		c.send(t, rpcwire.Request{ServiceMethod: "Both.Plain", Seq: 10}, 1)
		c.recv(t, nil)
		s.Close()
		client.Close()
		synctest.Wait()
	})
}

// TestWhatIsOverBeforeItsTurnIsNotExecuted: a call that waits while its deadline passes, and
// one that waits when it is given up. Each is answered once.
func TestWhatIsOverBeforeItsTurnIsNotExecuted(t *testing.T) {
	for _, method := range []string{"Both.Hold", "Both.Wait"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBoth()
			s := rpcserver.New(rpcserver.Config{Limits: rpcserver.Limits{InFlight: 1}})
			s.Register(b)
			client, at := net.Pipe()
			go s.ServeConn(at)
			c := wireOn(t, client)
			c.send(t, rpcwire.Request{ServiceMethod: "Both.Hold", Seq: 1}, 1)
			<-b.begun
			c.send(t, rpcwire.Request{ServiceMethod: method, Seq: 2, Timeout: time.Second}, 2)
			c.send(t, rpcwire.Request{ServiceMethod: method, Seq: 3}, 3)
			c.cancel(t, 3)
			if resp := c.recv(t, nil); resp.Seq != 3 || !resp.NotExecuted || !strings.Contains(resp.Error, method+": the caller gave up before the call began") {
				t.Errorf("what was given up is answered with %+v", resp)
			}
			for range 3 { // again, and it is ignored
				c.cancel(t, 3)
				c.cancel(t, 1000)
				c.cancel(t, 1)
				if resp := c.ping(t, 4); resp.Seq != 4 {
					t.Errorf("a cancel is answered with %+v", resp)
				}
			}
			time.Sleep(time.Second)
			b.ended <- nil
			var n int
			if resp := c.recv(t, &n); resp.Seq != 1 || n != 1 {
				t.Errorf("the first is answered with %+v, %d", resp, n)
			}
			if resp := c.recv(t, nil); resp.Seq != 2 || !resp.NotExecuted || !strings.Contains(resp.Error, "deadline exceeded before the call began") {
				t.Errorf("what is late is answered with %+v", resp)
			}
			if resp := c.ping(t, 5); resp.Seq != 5 || len(b.begun) > 0 {
				t.Errorf("then comes %+v; %d have begun", resp, len(b.begun))
			}
			if st := s.Stats(); st.NotExecuted != 2 || st.InFlight != 0 {
				t.Errorf("%+v", st)
			}
			s.Close()
			client.Close()
			synctest.Wait()
		})
	}
}
