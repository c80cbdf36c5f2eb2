package rpcclient

import "fmt"

// CallOption is an option of one call.
type CallOption func(*options)

type options struct {
	Method
	key    string
	onNode *string
	err    error // of an option that has no meaning: the call fails with it
}

// maxHedge is half: with more, the second request would be the rule.
const maxHedge = 0.5

// Settings gives this call what is set in m, instead of what is declared of its method. What
// is not set in m stays as declared. If m has no meaning, the call fails.
func Settings(m Method) CallOption {
	err := m.checkSettings()
	m = m.bounded()
	return func(o *options) {
		if o.Method = m.over(o.Method); o.err == nil && err != nil {
			o.err = fmt.Errorf("rpcclient.Settings: %w", err)
		}
	}
}

// Idempotent declares this call idempotent: see [Method]. Config.Methods does it for all
// calls of a method.
func Idempotent() CallOption { return func(o *options) { o.Idempotent = true } }

// Hedge declares this call idempotent, and hedges it: share is [Method].Hedge, and
// replaces what Config.Methods says. Hedge(0) is idempotent without hedging; more than
// 0.5 counts as 0.5.
func Hedge(share float64) CallOption {
	share = min(max(share, 0), maxHedge)
	return func(o *options) { o.Idempotent, o.Method.Hedge = true, share }
}

// Key gives the call an affinity: with balancer.Hash, calls of one key go to one node.
func Key(key string) CallOption { return func(o *options) { o.key = key } }

// OnNode has the call store the address of the node that answered, or "".
func OnNode(addr *string) CallOption {
	*addr = ""
	return func(o *options) {
		*addr = "" // of an earlier call with this option
		o.onNode = addr
	}
}
