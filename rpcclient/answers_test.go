package rpcclient

import (
	"encoding/gob"
	"net"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// told is a request as a server sees it that knows all that a client may send.
type told struct {
	ServiceMethod string
	Seq           uint64
	Timeout       uint64
	Meta          []string
}

// answer is a response with all that a server may send.
type answer struct {
	Seq         uint64
	Error       string
	NotExecuted bool
	Wait        uint64
	Knows       []string
}

// speaker is a node that a test writes by hand, and that may say all of it.
type speaker struct {
	mu    sync.Mutex // guards what follows
	pong  answer
	told  []told // without pings
	args  []Args // of those that are no cancels
	conns int

	// reply says what is answered to a request, in a goroutine of its own. An answer
	// without an error and without NotExecuted is followed by the product.
	reply func(told, Args) []answer

	asked atomic.Int64
}

// serve is the speaker's part of a connection.
func (s *speaker) serve(nc net.Conn) {
	dec, enc := gob.NewDecoder(nc), gob.NewEncoder(nc)
	var writing sync.Mutex
	say := func(a answer, body any) {
		type Response answer
		writing.Lock()
		defer writing.Unlock()
		enc.Encode(Response(a))
		enc.Encode(body)
	}
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	for {
		var req told
		if dec.Decode(&req) != nil {
			return
		}
		if req.ServiceMethod == rpcwire.PingMethod {
			dec.DecodeValue(reflect.Value{})
			s.mu.Lock()
			pong := s.pong
			s.mu.Unlock()
			pong.Seq = req.Seq
			say(pong, struct{}{})
			continue
		}
		var args Args
		if req.ServiceMethod == rpcwire.CancelMethod {
			dec.DecodeValue(reflect.Value{})
		} else if dec.Decode(&args) != nil {
			return
		}
		s.mu.Lock()
		s.told, s.args = append(s.told, req), append(s.args, args)
		s.mu.Unlock()
		if req.ServiceMethod == rpcwire.CancelMethod {
			continue
		}
		s.asked.Add(1)
		go func() {
			for _, a := range s.reply(req, args) {
				if a.Seq == 0 {
					a.Seq = req.Seq
				}
				if a.Error != "" || a.NotExecuted {
					say(a, struct{}{})
				} else {
					say(a, args.A*args.B)
				}
			}
		}()
	}
}

// heard is what the node was told so far, without pings.
func (s *speaker) heard() []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]told(nil), s.told...)
}

func (s *speaker) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// ponders sets what the node says in its answers to pings from now on.
func (s *speaker) ponders(pong answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pong = pong
}

// multiplies answers each request as it should.
func multiplies(told, Args) []answer { return []answer{{}} }

// refuses answers that nothing was executed, and for how many milliseconds to stay away.
func refuses(text string, wait uint64) func(told, Args) []answer {
	return func(told, Args) []answer { return []answer{{Error: text, NotExecuted: true, Wait: wait}} }
}
