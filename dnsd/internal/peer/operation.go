package peer

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// kind says what an operation does. It is the word on the wire.
type kind string

// The kinds of operations: the methods of registry.Writer.
const (
	register       kind = "register"
	renew          kind = "renew"
	renewAll       kind = "renewAll"
	deregister     kind = "deregister"
	drain          kind = "drain"
	undrain        kind = "undrain"
	unfence        kind = "unfence"
	releaseGuard   kind = "releaseGuard"
	connectionLost kind = "connectionLost"
	skip           kind = "skip"

	// registerDrained is register on the wire, if the instance asks to be drained. A writer
	// that does not know the field drain does not know this word, and refuses it; it would
	// publish the instance else. A field that comes later, and that a writer must not ignore,
	// gets such a word, too.
	registerDrained kind = "register+drain"
)

// repeatable says whether an operation may be sent again after it may have been executed:
// twice has the effect of once, or the writer can tell, see operation.since. It is false for releaseGuard, which would also release
// suspects that the operator has not seen.
func (k kind) repeatable() bool { return k != releaseGuard }

// operation is one write that is to be made by the writer.
type operation struct {
	kind        kind
	key         registry.Key       // of all but renewAll, releaseGuard and skip
	instance    registry.Instance  // of register; a zero TTL or Lease becomes the writer's default
	incarnation *uint64            // of renew, deregister and connectionLost; only deregister may have none
	sticky      bool               // of drain
	renewals    []registry.Renewal // of renewAll
	service     string             // of releaseGuard; "": all
	// since is the revision of the sender before the first attempt, if that may have been
	// executed, see Registry.Repeat; nil: this is the first.
	since *uint64
	// have is the instance that the sender has under key: if the receipt has the same, it
	// does not travel. Of a parsed operation only its revision is known.
	have         *registry.Instance
	haveRevision uint64
}

// operationJSON is an operation on the wire. A field that a reader does not know is
// ignored; a word in do that it does not know is refused.
type operationJSON struct {
	Do          kind             `json:"do"`
	Instance    string           `json:"instance,omitempty"` // _math._tcp/a1
	Incarnation *uint64          `json:"incarnation,omitempty"`
	Record      *registry.Record `json:"record,omitempty"`
	Sticky      bool             `json:"sticky,omitempty"`
	Renewals    []string         `json:"renewals,omitempty"` // _math._tcp/a1 or _math._tcp/a1?incarnation=7
	Service     string           `json:"service,omitempty"`
	Have        uint64           `json:"have,omitempty"` // the revision of the instance that the sender has
	Since       *uint64          `json:"since,omitempty"`
}

// json returns the operation as it goes over the wire.
func (o *operation) json() operationJSON {
	out := operationJSON{Do: o.kind, Incarnation: o.incarnation, Sticky: o.sticky, Service: o.service, Since: o.since}
	if o.key != (registry.Key{}) {
		out.Instance = o.key.String()
	}
	if o.kind == register {
		r := registry.NewRecord(&o.instance)
		out.Record = &r
		if r.Drain {
			out.Do = registerDrained
		}
	}
	if o.kind == renewAll {
		out.Renewals = make([]string, len(o.renewals))
		for i := range o.renewals {
			out.Renewals[i] = renewalText(&o.renewals[i])
		}
	}
	if o.have != nil {
		out.Have = o.have.Revision
	}
	return out
}

// parse checks what came over the wire.
func (w *operationJSON) parse() (operation, error) {
	o := operation{kind: w.Do, incarnation: w.Incarnation, sticky: w.Sticky, service: w.Service, haveRevision: w.Have, since: w.Since}
	var err error
	switch w.Do {
	case register, registerDrained:
		if w.Record == nil {
			return o, malformed("%s: there is no record", w.Do)
		}
		if w.Do == registerDrained && !w.Record.Drain {
			return o, malformed("%s: the record has no drain", w.Do)
		}
		o.kind = register
		o.instance = w.Record.Registration() // Register checks it
		o.key = o.instance.Key
	case renew, connectionLost:
		if w.Incarnation == nil {
			return o, malformed("%s: there is no incarnation", w.Do)
		}
		o.key, err = registry.ParseKey(w.Instance)
	case deregister, drain, undrain, unfence:
		o.key, err = registry.ParseKey(w.Instance)
	case renewAll:
		o.renewals = make([]registry.Renewal, len(w.Renewals))
		for i, s := range w.Renewals {
			if o.renewals[i], err = parseRenewal(s); err != nil {
				break
			}
		}
	case releaseGuard:
		if w.Service != "" {
			err = registry.CheckService(w.Service)
		}
	case skip:
	default:
		err = fmt.Errorf("%w: it does not know the operation %.40q: upgrade it", errUnsupported, string(w.Do))
	}
	return o, err
}

func renewalText(r *registry.Renewal) string {
	if r.Incarnation == 0 {
		return r.Key.String()
	}
	b := make([]byte, 0, 128)
	b = append(append(append(b, r.Service...), '/'), r.ID...)
	b = append(b, "?incarnation="...)
	return string(strconv.AppendUint(b, r.Incarnation, 10))
}

func parseRenewal(s string) (registry.Renewal, error) {
	name, query, given := strings.Cut(s, "?")
	key, err := registry.ParseKey(name)
	if err != nil || !given {
		return registry.Renewal{Key: key}, err
	}
	number, ok := strings.CutPrefix(query, "incarnation=")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return registry.Renewal{}, malformed("renewal %.80q", s)
	}
	return registry.Renewal{Key: key, Incarnation: n}, nil
}

// run makes the write.
func (o *operation) run(ctx context.Context, r Registry) (out result) {
	w := registry.Writer(r)
	if o.since != nil {
		w = r.Repeat(*o.since)
	}
	incarnation := uint64(0)
	if o.incarnation != nil {
		incarnation = *o.incarnation
	}
	switch o.kind {
	case register:
		out.Receipt, out.err = w.Register(ctx, o.instance)
	case renew:
		out.Receipt, out.err = w.Renew(ctx, o.key, incarnation)
	case renewAll:
		out.Renewals, out.err = w.RenewAll(ctx, o.renewals)
	case deregister:
		out.Receipt, out.err = w.Deregister(ctx, o.key, o.incarnation)
	case drain:
		out.Receipt, out.err = w.Drain(ctx, o.key, o.sticky)
	case undrain:
		out.Receipt, out.err = w.Undrain(ctx, o.key)
	case unfence:
		out.Receipt, out.err = w.Unfence(ctx, o.key)
	case releaseGuard:
		out.Receipt, out.err = w.ReleaseGuard(ctx, o.service)
	case connectionLost:
		out.Receipt, out.err = w.ConnectionLost(ctx, o.key, incarnation)
	case skip:
		out.Receipt, out.err = w.Skip(ctx)
	}
	return out
}

// Tests: wire_test.go.
