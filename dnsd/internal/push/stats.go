package push

import "sync/atomic"

// Stats are counts since New, but for Sessions and Subscriptions.
type Stats struct {
	Sessions      int // that there are now
	Subscriptions int // that there are now

	Taken          uint64 // sessions begun
	Refused        uint64 // connections and subscriptions beyond the bounds
	Pushes         uint64 // messages with changes or with a whole set
	Resynchronised uint64 // subscriptions of clients that read too slowly, brought up to date
	Aborted        uint64 // sessions ended by the server, because of a fault or silence of the client
	Reconfirmed    uint64 // records that a client doubted and that were checked
	Panics         uint64 // each of which has ended a session, or those of a zone
}

type counts struct {
	told, panicTold                                                      atomic.Int64
	taken, refused, pushes, resynchronised, aborted, reconfirmed, panics atomic.Uint64
}

// Stats returns the counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	n := len(s.sessions)
	s.mu.Unlock()
	c := &s.stats
	return Stats{
		Sessions: n, Subscriptions: int(s.total.subscriptions.Load()),
		Taken: c.taken.Load(), Refused: c.refused.Load(), Pushes: c.pushes.Load(),
		Resynchronised: c.resynchronised.Load(), Aborted: c.aborted.Load(), Reconfirmed: c.reconfirmed.Load(),
		Panics: c.panics.Load(),
	}
}

// Tests: server_test.go.
