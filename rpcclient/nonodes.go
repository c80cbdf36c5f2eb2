package rpcclient

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// noNodesError says why there is no usable node: what the source of endpoints said,
// and what became of each endpoint.
type noNodesError struct {
	source    error    // why there are no endpoints, or why they are stale
	endpoints int      // announced
	nodes     []string // "10.0.0.7:8080: connection refused", some of them
	errs      []error
}

func (e *noNodesError) Error() string {
	var b strings.Builder
	b.WriteString(ErrNoNodes.Error())
	switch {
	case e.endpoints == 0 && e.source != nil:
		fmt.Fprintf(&b, ": %v", e.source)
	case e.endpoints == 0:
		b.WriteString(": no endpoint is announced")
	default:
		fmt.Fprintf(&b, " of %d announced", e.endpoints)
		for _, n := range e.nodes {
			b.WriteString("; " + n)
		}
		if e.source != nil {
			fmt.Fprintf(&b, "; and the list is stale: %v", e.source)
		}
	}
	return b.String()
}

func (e *noNodesError) Unwrap() []error {
	errs := append([]error{ErrNoNodes}, e.errs...)
	if e.source != nil {
		errs = append(errs, e.source)
	}
	return errs
}

var (
	errUnresolved = errors.New("the name is not resolved yet")
	errConnecting = errors.New("the first dial and its ping have not ended yet")
)

// noNodes is the error of now.
func (c *Client) noNodes() error {
	const most = 3 // enough to see a pattern; the debug page has all
	e := &noNodesError{}
	state := c.state.Load()
	if state == nil {
		e.source = errUnresolved
		return e
	}
	e.source, e.endpoints = state.Err, len(state.Endpoints)
	c.mu.Lock()
	nodes := make([]*node, 0, len(c.nodes))
	for n := range c.nodes {
		nodes = append(nodes, n)
	}
	c.mu.Unlock()
	slices.SortFunc(nodes, func(a, b *node) int { return strings.Compare(a.addr(), b.addr()) })
	for _, n := range nodes {
		n.mu.Lock()
		err, untried := n.lastErr, n.untried
		n.mu.Unlock()
		if err == nil && untried {
			err = errConnecting
		}
		if err == nil {
			continue
		}
		if len(e.nodes) == most {
			e.nodes = append(e.nodes, "...")
			break
		}
		e.nodes = append(e.nodes, n.addr()+": "+err.Error())
		e.errs = append(e.errs, err)
	}
	return e
}
