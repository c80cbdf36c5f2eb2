package rpcclient

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

// counters are the client's. Each event is one atomic addition.
type counters struct {
	calls, attempts, retries, overBudget     atomic.Uint64
	hedges, hedgesWon                        atomic.Uint64
	answeredErrors, failedNever, failedMaybe atomic.Uint64
	refused                                  atomic.Uint64
	dials, dialFailures                      atomic.Uint64
}

// Stats are a client's counts since New, and the state of its nodes.
type Stats struct {
	Calls          uint64      `json:"calls"`           // begun
	Attempts       uint64      `json:"attempts"`        // requests for them, with retries and hedges
	Retries        uint64      `json:"retries"`         // attempts after a failed one
	OverBudget     uint64      `json:"over_budget"`     // retries that the budget did not allow
	Hedges         uint64      `json:"hedges"`          // second requests while the first was out
	HedgesWon      uint64      `json:"hedges_won"`      // hedges that were answered first
	Refused        uint64      `json:"refused"`         // requests that a server has not executed, and said so
	AnsweredErrors uint64      `json:"answered_errors"` // calls that a server answered with an error
	FailedNever    uint64      `json:"failed_never"`    // calls that failed and that no server executed
	FailedMaybe    uint64      `json:"failed_maybe"`    // other calls that failed
	Dials          uint64      `json:"dials"`
	DialFailures   uint64      `json:"dial_failures"`
	InFlight       int         `json:"in_flight"` // calls
	Nodes          []NodeStats `json:"nodes"`     // by address
}

// NodeStats is what a client knows of one node.
type NodeStats struct {
	Addr         string    `json:"addr"`
	Target       string    `json:"target"`
	Priority     uint16    `json:"priority"`
	Weight       uint16    `json:"weight"`
	Standing     string    `json:"standing,omitempty"` // the word for its balancer.Standing; empty: it only finishes calls
	Connections  int       `json:"connections"`        // those that take calls
	Finishing    int       `json:"finishing"`          // those that only finish calls in flight
	InFlight     int       `json:"in_flight"`          // requests
	Attempts     uint64    `json:"calls"`              // requests sent
	Failures     uint64    `json:"failures"`           // requests that failed because of the node
	Dials        uint64    `json:"dials"`
	DialFailures uint64    `json:"dial_failures"`
	NextDial     time.Time `json:"next_dial,omitzero"` // not before
	LastError    string    `json:"last_error,omitempty"`
	LastErrorAt  time.Time `json:"last_error_at,omitzero"`
	Note         string    `json:"note,omitempty"`   // why it has fewer connections than Config.Conn.PerNode, if that is intended
	Recent       []Failure `json:"recent,omitempty"` // the last failed attempts, oldest first
}

// Failure is a failed attempt on a node, as NodeStats keeps it.
type Failure struct {
	Time     time.Time     `json:"time"`
	Method   string        `json:"method"`
	Phase    Phase         `json:"phase"`
	Took     time.Duration `json:"took"`
	Executed Executed      `json:"executed"`
	Error    string        `json:"error"`
}

// recentFailures is how many failed attempts are kept of each node.
const recentFailures = 20

// failed keeps a failed attempt, unless the server answered with an error or the argument
// could not be encoded: these are not failures of the node.
func (n *node) failed(method string, a Attempt) {
	if a.Phase == PhaseAnswer && a.Executed == ExecutedYes || a.Phase == PhaseEncode {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.recent) == recentFailures {
		n.recent = slices.Delete(n.recent, 0, 1)
	}
	n.recent = append(n.recent, Failure{time.Now(), method, a.Phase, a.Took, a.Executed, a.Err.Error()})
}

// Stats returns the counts of now. They are read one after the other, while calls go on.
func (c *Client) Stats() Stats {
	s := &c.stats
	out := Stats{
		Calls: s.calls.Load(), Attempts: s.attempts.Load(), Retries: s.retries.Load(), OverBudget: s.overBudget.Load(),
		Hedges: s.hedges.Load(), HedgesWon: s.hedgesWon.Load(), Refused: s.refused.Load(),
		AnsweredErrors: s.answeredErrors.Load(), FailedNever: s.failedNever.Load(), FailedMaybe: s.failedMaybe.Load(),
		Dials: s.dials.Load(), DialFailures: s.dialFailures.Load(),
		InFlight: int(c.active.Load()),
	}
	c.mu.Lock()
	nodes := make([]*node, 0, len(c.nodes))
	for n := range c.nodes {
		nodes = append(nodes, n)
	}
	c.mu.Unlock()
	standings := make(map[*balancer.Node]string, len(nodes))
	for _, i := range c.group.Nodes() {
		standings[i.Node] = i.Standing.String()
	}
	for _, n := range nodes {
		out.Nodes = append(out.Nodes, n.stats(standings[n.balanced]))
	}
	slices.SortFunc(out.Nodes, func(a, b NodeStats) int { return cmp.Compare(a.Addr, b.Addr) })
	return out
}

func (n *node) stats(standing string) NodeStats {
	ep := n.balanced.Endpoint()
	n.mu.Lock()
	defer n.mu.Unlock()
	conns := len(*n.usable.Load())
	out := NodeStats{
		Addr: ep.Addr, Target: ep.Target, Priority: ep.Priority, Weight: ep.Weight, Standing: standing,
		Connections: conns, Finishing: len(n.all) - conns, InFlight: n.balanced.InFlight(),
		Attempts: n.attempts.Load(), Failures: n.bad.Load(),
		Dials: n.dials, DialFailures: n.failures,
		LastErrorAt: n.lastFail, Note: n.why, Recent: slices.Clone(n.recent),
	}
	if n.lastErr != nil {
		out.LastError = n.lastErr.Error()
	}
	if time.Now().Before(n.retryAt) {
		out.NextDial = n.retryAt
	}
	return out
}

// Tests: debug_test.go.
