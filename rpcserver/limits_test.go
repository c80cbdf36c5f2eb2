package rpcserver_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// closed waits until the server ends the connection.
func (c *rawClient) closed(t testing.TB) {
	t.Helper()
	buf := make([]byte, 1024)
	for {
		_, err := c.nc.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the connection was not closed")
		}
		if err != nil {
			return
		}
	}
}

func TestOverlongMessageClosesItsConnectionOnly(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{Frame: 10_000}})
	good := dial(t, addr)
	for name, head := range map[string][]byte{
		"a little":  {0xfe, 0x27, 0x11},                                           // 10,001
		"all of it": {0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},       // 2^64-1
		"not a gob": {0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, // a length of 128 bytes
		"no length": {0xf7},
	} {
		t.Run(name, func(t *testing.T) {
			c := raw(t, addr)
			c.nc.Write(head)
			c.closed(t)
			var n int
			if err := good.Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
				t.Error(n, err)
			}
		})
	}
	t.Run("an argument", func(t *testing.T) {
		c := raw(t, addr)
		c.send(t, "Arith.Panic", strings.Repeat("x", 10_000))
		c.closed(t)
	})
	t.Run("a JSON request", func(t *testing.T) {
		_, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{Frame: 10_000}, Codec: jsonCodec})
		c := raw(t, addr)
		fmt.Fprintf(c.nc, `{"method":"Arith.Panic","params":["%s"],"id":1}`, strings.Repeat("x", 10_000))
		c.closed(t)
	})
}

func TestHalfARequestIsNotWaitedForForEver(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{FrameTimeout: 50 * time.Millisecond}})
	t.Run("half a header", func(t *testing.T) {
		c := raw(t, addr)
		c.nc.Write([]byte{40, 1})
		c.closed(t)
	})
	t.Run("no body", func(t *testing.T) {
		c := raw(t, addr)
		c.enc.Encode(struct {
			ServiceMethod string
			Seq           uint64
		}{"Arith.Multiply", 1})
		c.buf.Flush()
		c.closed(t)
	})
}

// piped is a client on a connection in memory, for a bubble. It waits without end.
func piped(t testing.TB, s *rpcserver.Server) *rawClient {
	ours, theirs := net.Pipe()
	go s.ServeConn(theirs)
	c := rawOn(t, ours)
	ours.SetDeadline(time.Time{})
	return c
}

func TestIdleConnectionIsClosedButNotWhileACallRuns(t *testing.T) {
	const idle = time.Minute
	synctest.Test(t, func(t *testing.T) {
		a := newArith()
		s := rpcserver.New(rpcserver.Config{Limits: rpcserver.Limits{IdleTimeout: idle}})
		s.Register(a)
		c := piped(t, s)
		c.send(t, "Arith.Wait", 1)
		<-a.begun
		for range 3 {
			began := time.Now()
			piped(t, s).closed(t)
			if took := time.Since(began); took != idle {
				t.Errorf("a connection without requests is closed after %v", took)
			}
		}
		time.Sleep(idle / 2) // the time of c, too, begins again each time it is over
		close(a.gate)
		if resp := c.recv(t, new(int)); resp.Error != "" {
			t.Error(resp.Error)
		}
		answered := time.Now()
		c.closed(t)
		if took := time.Since(answered); took != idle/2 {
			t.Errorf("a connection is closed %v after its last answer", took)
		}
		s.Close()
	})
}

func TestClientThatDoesNotReadIsCutOffAndHoldsUpNobody(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{WriteTimeout: 200 * time.Millisecond, BytesTotal: 16 << 20}}, Echo{})
	c := raw(t, addr)
	var wg sync.WaitGroup
	wg.Go(func() {
		data := Payload{make([]byte, 1<<20)}
		for range 100 {
			c.seq++
			if c.enc.Encode(struct {
				ServiceMethod string
				Seq           uint64
			}{"Echo.Echo", c.seq}) != nil || c.enc.Encode(data) != nil || c.buf.Flush() != nil {
				return // cut off
			}
		}
		t.Error("100 MiB of answers were taken from a server that nobody reads from")
	})
	other := dial(t, addr)
	for range 100 {
		if err := other.Call("Echo.Echo", Payload{[]byte("x")}, new(Payload)); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestCallsOverTheLimitWaitUnread(t *testing.T) {
	for name, cfg := range map[string]rpcserver.Config{
		"of a connection": {Limits: rpcserver.Limits{InFlight: 3}},
		"of all":          {Limits: rpcserver.Limits{InFlightTotal: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Peak{most: 3}
			_, addr := serve(t, cfg, p)
			client := dial(t, addr)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					for range 20 {
						if err := client.Call("Peak.Call", 1, new(int)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if got := p.top.Load(); got > 3 {
				t.Errorf("%d calls at once, the limit is 3", got)
			}
		})
	}
}

// Peak counts how many of its calls run at once.
type Peak struct {
	most     int64
	now, top atomic.Int64
}

// Call is counted.
func (p *Peak) Call(int, *int) error {
	n := p.now.Add(1)
	defer p.now.Add(-1)
	for {
		top := p.top.Load()
		if n <= top || p.top.CompareAndSwap(top, n) {
			break
		}
	}
	if n > p.most {
		return errors.New("too many at once")
	}
	return nil
}

func TestConnectionsOverTheLimitAreSentElsewhere(t *testing.T) {
	s, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{Conns: 2}})
	a, b := dial(t, addr), dial(t, addr)
	for _, c := range []interface{ Call(string, any, any) error }{a, b} {
		if err := c.Call("Arith.Multiply", Args{1, 1}, new(int)); err != nil {
			t.Fatal(err)
		}
	}
	c := raw(t, addr)
	if resp := c.recv(t, nil); resp.ServiceMethod != "_rollcall.Drain" || resp.Seq != 1<<64-1 || resp.Error != "retire 0" {
		t.Errorf("told %+v", resp)
	}
	c.closed(t)
	if st := s.Stats(); st.Refused != 1 || st.Conns != 2 || st.Accepted != 2 {
		t.Errorf("%+v", st)
	}
}

// failing is a listener whose Accept fails now and then.
type failing struct {
	net.Listener
	errs atomic.Int64
}

func (l *failing) Accept() (net.Conn, error) {
	if l.errs.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsAreWaitedOut(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &failing{Listener: inner}
	l.errs.Store(4)
	s := serveOn(t, l, rpcserver.Config{})
	if err := dial(t, l.Addr().String()).Call("Arith.Multiply", Args{1, 1}, new(int)); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.AcceptErrors != 4 {
		t.Errorf("%+v", st)
	}
}

func TestTraceSeesConnectionsAndCalls(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf(format, args...))
	}
	ended := make(chan struct{})
	_, addr := serve(t, rpcserver.Config{Trace: &rpcserver.Trace{
		ConnBegin: func(string) { note("conn") },
		ConnEnd:   func(_ string, err error) { note("end %v", err); close(ended) },
		CallBegin: func(c rpcserver.CallInfo) { note("begin %s", c.Method) },
		CallEnd: func(c rpcserver.CallInfo) {
			note("call %s %q %v", c.Method, c.Failed, c.Panic)
			if c.Took <= 0 {
				t.Error("took", c.Took)
			}
		},
	}})
	client := dial(t, addr)
	client.Call("Arith.Divide", Args{1, 0}, new(Quotient))
	client.Call("Arith.Panic", "ouch", new(int))
	client.Close()
	<-ended
	want := []string{
		"conn",
		"begin Arith.Divide", `call Arith.Divide "divide by zero" <nil>`,
		"begin Arith.Panic", `call Arith.Panic "rpcserver: panic in Arith.Panic: ouch" ouch`,
		"end <nil>",
	}
	if strings.Join(seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("saw %q\nwant %q", seen, want)
	}
}
