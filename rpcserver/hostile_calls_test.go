package rpcserver_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// TestBadHeadersCostNoConnection: metadata beyond the bounds is refused, with the reason.
func TestBadHeadersCostNoConnection(t *testing.T) {
	b := newBoth()
	_, addr := serve(t, rpcserver.Config{}, b)
	type Request struct {
		ServiceMethod string
		Seq           uint64
		Timeout       uint64
		Meta          []string
	}
	type Odd struct {
		ServiceMethod string
		Seq           uint64
		Timeout       string
	}
	c := raw(t, addr)
	for name, tt := range map[string]struct {
		header any
		want   string
	}{
		"no value":          {Request{"Both.Plain", 7, 0, []string{"a"}}, "without a value"},
		"a bad key":         {Request{"Both.Describe", 7, 0, []string{"A b", ""}}, `"A b"`},
		"the same twice":    {Request{"Both.Plain", 7, 0, []string{"a", "", "a", ""}}, "each once"},
		"too much":          {Request{"Both.Plain", 7, 0, []string{"a", strings.Repeat("x", 9000)}}, "more than 8192 bytes"},
		"far too much":      {Request{"Both.Plain", 7, 0, []string{"a", strings.Repeat("x", 1<<20)}}, "more than 8192 bytes"},
		"too many":          {Request{"Both.Plain", 7, 0, make([]string, 100)}, "more than 32 keys"},
		"a Timeout of text": {Odd{"Both.Plain", 7, "soon"}, "does not fit"},
	} {
		if err := errors.Join(c.enc.Encode(tt.header), c.enc.Encode(1), c.buf.Flush()); err != nil {
			t.Fatal(err)
		}
		if resp := c.recv(t, nil); resp.Seq != 7 || !strings.Contains(resp.Error, tt.want) {
			t.Errorf("%s: %+v", name, resp)
		}
		c.send(t, "Both.Plain", 1)
		var n int
		if resp := c.recv(t, &n); resp.Error != "" || n != 2 {
			t.Errorf("%s: the next is answered with %+v", name, resp)
		}
	}
}

// TestANumberThatIsUsedTwice ends the first call: the client could not tell the answers apart.
func TestANumberThatIsUsedTwice(t *testing.T) {
	b := newBoth()
	_, addr := serve(t, rpcserver.Config{}, b)
	c := wireTo(t, addr)
	for range 2 {
		c.send(t, rpcwire.Request{ServiceMethod: "Both.Wait", Seq: 1}, 1)
		<-b.begun
	}
	if cause := <-b.ended; cause != rpcserver.ErrGaveUp {
		t.Error("the first ends by", cause)
	}
	c.nc.Close()
	if cause := <-b.ended; cause != rpcserver.ErrDisconnected {
		t.Error("the second ends by", cause)
	}
}

// TestBytesThatAreNoGob end the connection. The calls that came before are finished, and their
// contexts end when the client goes.
func TestBytesThatAreNoGob(t *testing.T) {
	b := newBoth()
	_, addr := serve(t, rpcserver.Config{}, b)
	c := wireTo(t, addr)
	c.send(t, rpcwire.Request{ServiceMethod: "Both.Wait", Seq: 1}, 1)
	c.send(t, rpcwire.Request{ServiceMethod: "Both.Hold", Seq: 2}, 2)
	first, second := <-b.begun, <-b.begun
	if first == nil {
		first = second
	}
	c.nc.Write([]byte{3, 0xff, 0xff, 0xff, 5, 5, 5, 5})
	b.ended <- nil // Hold's
	var n int
	if resp := c.recv(t, &n); resp.Seq != 2 || n != 2 || first.Err() != nil {
		t.Errorf("%+v, %d, and the other has ended by %v", resp, n, context.Cause(first))
	}
	c.nc.Close()
	if cause := <-b.ended; cause != rpcserver.ErrDisconnected {
		t.Error("it ends by", cause)
	}
}

// TestFloodOfCancels of calls that are not there: none is answered.
func TestFloodOfCancels(t *testing.T) {
	b := newBoth()
	s, addr := serve(t, rpcserver.Config{}, b)
	c := wireTo(t, addr)
	c.send(t, rpcwire.Request{ServiceMethod: "Both.Wait", Seq: 1}, 1)
	<-b.begun
	for seq := uint64(2); seq < 10_000; seq++ { // none is there
		c.cancel(t, seq)
	}
	if resp := c.ping(t, 10_001); resp.Seq != 10_001 || resp.Error != "" {
		t.Errorf("%+v", resp)
	}
	if st := s.Stats(); st.InFlight != 1 || st.NotExecuted != 0 {
		t.Errorf("%+v", st)
	}
	c.cancel(t, 1)
	if resp := c.recv(t, nil); resp.Seq != 1 || <-b.ended != rpcserver.ErrGaveUp {
		t.Errorf("%+v", resp)
	}
}

// TestContextsEndWhileNoMemoryIsLeft: the connection is not read then, and the call that runs
// ends only with its context.
func TestContextsEndWhileNoMemoryIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoth()
		s := rpcserver.New(rpcserver.Config{Limits: rpcserver.Limits{InFlight: 1, BytesTotal: 10 << 10}})
		s.Register(b)
		client, at := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			s.ServeConn(at)
		}()
		c := wireOn(t, client)
		for seq := uint64(1); seq <= 5; seq++ { // one runs, two wait, one is beyond the limit
			c.send(t, rpcwire.Request{ServiceMethod: "Both.Wait", Seq: seq}, 1)
		}
		<-b.begun
		synctest.Wait()
		client.Close()
		select {
		case cause := <-b.ended:
			if cause != rpcserver.ErrDisconnected {
				t.Error("it ends by", cause)
			}
			<-served
		case <-time.After(time.Minute):
			t.Error("its context does not end")
		}
		if len(b.begun) > 0 {
			t.Error("a call was executed that waited for its turn")
		}
		s.Close()
		synctest.Wait()
	})
}
