package conn

import (
	"encoding/gob"
	"net"
	"reflect"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// asked is a request as a server sees it that knows all that a client may send.
type asked struct {
	ServiceMethod string
	Seq           uint64
	Timeout       uint64
	Meta          []string
}

// answer is a response with all that a server may send.
type answer = struct {
	ServiceMethod string
	Seq           uint64
	Error         string
	NotExecuted   bool
	Wait          uint64
	Knows         []string
}

// script is the server's end of a connection, written by hand, in fake time: what it is
// asked comes out of a channel, and the test answers.
type script struct {
	nc    net.Conn
	asked chan asked
	enc   *gob.Encoder
}

// scripted starts a connection to a script, whose first ping is answered with pong.
func scripted(t *testing.T, pong answer, owner Owner) (*Conn, *script) {
	t.Helper()
	client, server := peertest.MemoryPipe()
	s := &script{server, make(chan asked, 100_000), gob.NewEncoder(server)}
	go func() {
		defer close(s.asked)
		dec := gob.NewDecoder(server)
		for {
			var req asked
			if dec.Decode(&req) != nil || dec.DecodeValue(reflect.Value{}) != nil {
				return
			}
			s.asked <- req
		}
	}()
	if owner == nil {
		owner = nobody{}
	}
	c := NewSet(testConfig()).Start(client, owner)
	t.Cleanup(func() {
		c.Fail(errTest)
		c.Wait()
		server.Close()
		for range s.asked {
		}
	})
	greeted := make(chan error, 1)
	go func() { greeted <- c.Greet(t.Context()) }()
	ping := <-s.asked
	if ping.ServiceMethod != rpcwire.PingMethod {
		t.Fatalf("it begins with %+v", ping)
	}
	pong.Seq = ping.Seq
	s.say(pong, struct{}{})
	if err := <-greeted; err != nil {
		t.Fatal(err)
	}
	return c, s
}

func (s *script) say(a answer, body any) {
	type Response answer
	s.enc.Encode(Response(a))
	s.enc.Encode(body)
}

// send starts a request for a number.
func send(t *testing.T, c *Conn, change func(*Request)) *Request {
	t.Helper()
	req := NewRequest()
	req.Method, req.Args, req.Reply, req.Start = "A.B", 1, new(int), c.Now()
	if change != nil {
		change(req)
	}
	if err := c.Send(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return req
}
