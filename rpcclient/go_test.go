package rpcclient

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/resolver"
)

// Letters keeps the bytes that it gets, in their order.
type Letters struct {
	mu  sync.Mutex // guards got
	got []byte
}

func (l *Letters) note(b byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, b)
}

func (l *Letters) all() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

// inOrder serves requests one after the other, in gob.
func (l *Letters) inOrder(nc net.Conn) {
	dec, enc := gob.NewDecoder(nc), gob.NewEncoder(nc)
	for {
		var req rpc.Request
		if dec.Decode(&req) != nil {
			return
		}
		if req.ServiceMethod == rpcwire.PingMethod {
			dec.DecodeValue(reflect.Value{})
			enc.Encode(rpc.Response{Seq: req.Seq, Error: "no such method"})
			enc.Encode(struct{}{})
			continue
		}
		var data []byte
		if dec.Decode(&data) != nil {
			return
		}
		l.note(data[0])
		enc.Encode(rpc.Response{Seq: req.Seq})
		enc.Encode(int(data[0]))
	}
}

// TestGoHasEncodedInOrderWhenItReturns, as rpc.Client.Go has: the caller uses one buffer
// for all calls.
func TestGoHasEncodedInOrderWhenItReturns(t *testing.T) {
	pass := func(ctx context.Context, call *Invocation, next func(context.Context, *Invocation) error) error {
		return next(ctx, call)
	}
	for name, tt := range map[string]struct {
		cfg   Config
		queue int
		later bool // the node is announced after all calls were made
	}{
		"connected":                {},
		"with interceptors":        {cfg: Config{Interceptors: []Interceptor{pass, pass}}},
		"no room to write":         {queue: 1},
		"no node":                  {later: true},
		"no node, interceptors":    {cfg: Config{Interceptors: []Interceptor{pass}}, later: true},
		"no node and then no room": {queue: 1, later: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				letters := new(Letters)
				f := newFakeNet(map[string]func(net.Conn){"a:1": letters.inOrder})
				source := &announcer{make(chan resolver.State, 10)}
				tt.cfg.Conn.PerNode, tt.cfg.Source = 1, source
				c := fakeClient(t, f, tt.cfg)
				defer c.Close()
				if tt.queue > 0 {
					c.conns.MaxQueue = tt.queue
				}
				if !tt.later {
					source.say("a:1")
					ready(t, c)
				}
				buf := make([]byte, 100)
				var calls []*rpc.Call
				var want []byte
				for i := range 200 {
					buf[0] = byte(i)
					want = append(want, byte(i))
					calls = append(calls, c.Go(t.Context(), "Letters.Put", buf, new(int), nil))
				}
				buf[0] = 255
				if tt.later {
					synctest.Wait()
					source.say("a:1")
				}
				for i, call := range calls {
					if <-call.Done; call.Error != nil || *call.Reply.(*int) != i {
						t.Fatalf("call %d: %d, %v", i, *call.Reply.(*int), call.Error)
					}
				}
				if got := letters.all(); !bytes.Equal(got, want) {
					t.Errorf("got  %v\nwant %v", got, want)
				}
			})
		})
	}
}

// TestGoIsTriedAgainWithWhatItWasCalledWith: the connection to the first node is lost
// before the request is written, and the caller has changed the argument by then.
func TestGoIsTriedAgainWithWhatItWasCalledWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters := new(Letters)
		block := make(chan struct{})
		defer close(block)
		f := newFakeNet(map[string]func(net.Conn){
			"stuck:1": func(nc net.Conn) { greeted(nc); <-block },
			"good:1":  letters.inOrder,
		})
		a := announce("stuck:1")
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}, Source: a})
		defer c.Close()
		ready(t, c)
		buf := []byte{7}
		call := c.Go(t.Context(), "Letters.Put", buf, new(int), nil)
		buf[0] = 8
		a.say("stuck:1", "good:1")
		if <-call.Done; call.Error != nil || !bytes.Equal(letters.all(), []byte{7}) {
			t.Error(letters.all(), call.Error)
		}
	})
}

// TestGoDoesNotWaitForAPeerThatReadsNothing, and not for a node.
func TestGoDoesNotWaitForAPeerThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		defer close(block)
		f := newFakeNet(map[string]func(net.Conn){"stuck:1": func(nc net.Conn) { greeted(nc); <-block }})
		for _, addrs := range [][]string{{"stuck:1"}, {"none:1"}} {
			c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}}, addrs...)
			if addrs[0] == "stuck:1" {
				ready(t, c)
			}
			begin := time.Now()
			var calls []*rpc.Call
			for range 100 {
				calls = append(calls, c.Go(t.Context(), "Letters.Put", make([]byte, 64<<10), new(int), nil))
			}
			if took := time.Since(begin); took > 0 {
				t.Errorf("%v: Go waited %v", addrs, took)
			}
			for _, call := range calls {
				if <-call.Done; call.Error == nil {
					t.Error("an answer from nowhere")
				}
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("%v: the calls took %v", addrs, took)
			}
			c.Close()
		}
	})
}

// oneWay can be encoded but not decoded, so it cannot be copied.
type oneWay struct{ b []byte }

func (o oneWay) GobEncode() ([]byte, error) { return o.b, nil }

func TestGoWaitsUntilAnArgumentIsEncodedThatItCannotCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Raw{})})
		source := &announcer{make(chan resolver.State, 10)}
		c := fakeClient(t, f, Config{Source: source})
		defer c.Close()
		arg := oneWay{[]byte("x")}
		time.AfterFunc(2*time.Second, func() { source.say("a:1") })
		begin := time.Now()
		var reply string
		call := c.Go(t.Context(), "Raw.Read", arg, &reply, nil)
		if took := time.Since(begin); took < 2*time.Second {
			t.Errorf("Go returned after %v", took)
		}
		arg.b[0] = 'y'
		if <-call.Done; call.Error != nil || reply != "x" {
			t.Error(reply, call.Error)
		}
	})
}

// Raw decodes the encoding of oneWay.
type (
	Raw    struct{}
	RawArg struct{ b []byte }
)

func (r *RawArg) GobDecode(b []byte) error { r.b = bytes.Clone(b); return nil }

func (Raw) Read(r *RawArg, out *string) error { *out = string(r.b); return nil }

func TestGoInJSONHasEncodedWhenItReturns(t *testing.T) {
	s := startStock(t, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.rpc.ServeCodec(jsonrpc.NewServerCodec(nc)) })
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	c := newClient(t, Config{Conn: ConnConfig{Codec: jsonrpc.NewClientCodec}}, l.Addr().String())
	args := &Args{}
	var calls []*rpc.Call
	for i := range 200 {
		args.A, args.B = i, 1
		calls = append(calls, c.Go(t.Context(), "Arith.Multiply", args, new(int), nil))
	}
	for i, call := range calls {
		if <-call.Done; call.Error != nil || *call.Reply.(*int) != i {
			t.Fatal(i, *call.Reply.(*int), call.Error)
		}
	}
}

func TestPanicOfAHookIsTheErrorOfGo(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{Interceptors: []Interceptor{
		func(context.Context, *Invocation, func(context.Context, *Invocation) error) error { panic("hook") },
	}}, s.addr)
	var e *Error
	if call := <-c.Go(t.Context(), "Arith.Multiply", &Args{}, new(int), nil).Done; !errors.As(call.Error, &e) {
		t.Error(call.Error)
	}
	if n := c.Stats().InFlight; n != 0 {
		t.Errorf("%d calls in flight", n)
	}
}

func TestGoCompletesOnDone(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	done := make(chan *rpc.Call, 10)
	for i := range 10 {
		c.Go(t.Context(), "Arith.Multiply", &Args{i, 2}, new(int), done)
	}
	for range 10 {
		call := <-done
		if call.Error != nil || *call.Reply.(*int) != call.Args.(*Args).A*2 {
			t.Errorf("%+v", call)
		}
	}
}
