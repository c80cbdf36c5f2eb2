package rpcclient

// CallOption is an option of one call.
type CallOption func(*options)

type options struct {
	Method
	key    string
	onNode *string
}

// maxHedge is half: with more, the second request would be the rule.
const maxHedge = 0.5

// Idempotent declares this call idempotent: see [Method]. Config.Methods does it for all
// calls of a method.
func Idempotent() CallOption { return func(o *options) { o.Idempotent = true } }

// Hedge declares this call idempotent, and hedges it: share is [Method].Hedge, and
// replaces what Config.Methods says. Hedge(0) is idempotent without hedging; more than
// 0.5 counts as 0.5.
func Hedge(share float64) CallOption {
	share = min(max(share, 0), maxHedge)
	return func(o *options) { o.Method = Method{Idempotent: true, Hedge: share} }
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
