package rpcserver

import "time"

// Trace is a set of functions that are called when something happens, as in
// net/http/httptrace. Each may be nil. They may be called concurrently, and must be quick:
// the call or the connection waits for them.
type Trace struct {
	// Draining: Shutdown has begun to tell the clients to call elsewhere.
	Draining  func()
	ConnBegin func(remote string)
	ConnEnd   func(remote string, err error) // nil: the client ended it, or Shutdown
	CallBegin func(CallInfo)
	CallEnd   func(CallInfo)
}

// CallInfo is a call as a Trace sees it.
type CallInfo struct {
	Method string // "Arith.Multiply"
	Remote string
	// At the end:
	Took   time.Duration // of the method; the time before its turn is not in it
	Failed string        // the error that the client got instead of a reply
	Panic  any           // the value that the method panicked with
}

// Stats are counts since the start, except where "now" is said.
type Stats struct {
	Conns        int           `json:"conns"`     // open now
	InFlight     int           `json:"in_flight"` // calls running now
	Accepted     uint64        `json:"accepted"`  // connections
	Refused      uint64        `json:"refused"`   // connections over Limits.Conns
	AcceptErrors uint64        `json:"accept_errors"`
	Requests     uint64        `json:"requests"`     // read, pings, cancels and unknown methods included
	NotExecuted  uint64        `json:"not_executed"` // requests refused, given up before their turn, or too late
	Panics       uint64        `json:"panics"`
	Writes       uint64        `json:"writes"` // each may carry many responses
	BytesOut     uint64        `json:"bytes_out"`
	Draining     bool          `json:"draining"`
	Methods      []MethodStats `json:"methods"` // by name
}

// MethodStats are the counts of one method.
type MethodStats struct {
	Name   string `json:"name"`   // "Arith.Multiply"
	Calls  uint64 `json:"calls"`  // answered
	Failed uint64 `json:"failed"` // of these, with an error or a panic
}

// Stats gives the counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	st := s.past
	st.Conns = len(s.conns)
	st.Draining = s.draining
	for c := range s.conns {
		st.add(c)
	}
	s.mu.Unlock()
	st.InFlight = int(s.calls.count.Load())
	st.NotExecuted = s.declined.Load()
	st.Panics = s.panics.Load()
	for _, m := range s.services.sorted() {
		st.Methods = append(st.Methods, MethodStats{Name: m.name, Calls: m.calls.Load(), Failed: m.failures.Load()})
	}
	return st
}

// add adds the counts of c.
func (st *Stats) add(c *conn) {
	st.Requests += c.requests.Load()
	// Not with c.out locked: the user's code may be encoding a reply, and all connections
	// would wait for it.
	st.Writes += c.out.writes.Load()
	st.BytesOut += c.out.bytes.Load()
}

// Tests: foreign_test.go, limits_test.go.
