package registry

import (
	"slices"
	"strconv"
	"time"
)

// Receipt says what a write did. A write that failed has the zero Receipt,
// except a Deregister that could not be stored.
type Receipt struct {
	Did      Did
	Revision uint64 // of the change; if there was none, of the data that the write found

	// Instance is the instance after the write, or, if it was removed, before it. It is nil
	// for a write to no instance or to several.
	Instance  *Instance
	ExpiresIn time.Duration // time left of the lease of Instance; 0 if it was removed
	Count     int           // instances that were written to, or whose lease began again
}

// Did is what a write did.
type Did uint8

// What a write can do. Only Created, Changed and Removed have a revision of their own.
const (
	Nothing   Did = iota // everything was so already
	Created              // a new instance is registered
	Changed              // a registered instance is published differently
	Renewed              // the lease began again, and nothing else changed
	Removed              // the instance is not registered any more
	Forgotten            // a fence, or the drain of an instance that is not registered, was removed
	Released             // suspects lost the guard's protection, and are removed next
)

var didWords = [...]string{"nothing", "created", "changed", "renewed", "removed", "forgotten", "released"}

// String is the word for logs: "created", "changed".
func (d Did) String() string {
	if int(d) < len(didWords) {
		return didWords[d]
	}
	return "did(" + strconv.Itoa(int(d)) + ")"
}

// Renewals is what RenewAll did: Count leases began again.
type Renewals struct {
	Receipt
	Unknown  []Key // not registered: to be registered again
	Replaced []Key // their process was replaced by one with a higher incarnation
}

// begun is the receipt of an instance whose lease begins now.
func begun(did Did, in *Instance) Receipt {
	return Receipt{Did: did, Revision: in.Revision, Instance: in, ExpiresIn: in.Lease, Count: 1}
}

// standing is the receipt of an instance whose lease runs on.
func (p *plan) standing(did Did, in *Instance, e *entry) Receipt {
	left := p.left(in, e)
	if e != nil && in == e.in {
		in = e.shown()
	}
	return Receipt{Did: did, Revision: in.Revision, Instance: in, ExpiresIn: left, Count: 1}
}

// left is the time left of in's lease after the steps so far. An earlier request of the
// batch may have renewed it, or registered in: then e is nil, or another's.
func (p *plan) left(in *Instance, e *entry) time.Duration {
	if p.touched(in.Key) {
		for _, s := range slices.Backward(p.steps) {
			if s.key == in.Key && (s.lease == renewLease || s.Old == nil && s.Revision > 0) {
				return in.Lease
			}
		}
	}
	return e.left(p.now)
}

// removed is the receipt of an instance that p has just planned to remove.
func (p *plan) removed(in *Instance) Receipt {
	return Receipt{Did: Removed, Revision: p.revision, Instance: in, Count: 1}
}
