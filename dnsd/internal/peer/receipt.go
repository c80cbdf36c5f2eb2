package peer

import (
	"fmt"
	"math"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// result is what an operation did. Only renewAll has more than the receipt.
type result struct {
	registry.Renewals
	err error
	// at is a revision of the writer at which the result was so. It is given with errors,
	// whose receipt has none.
	at uint64
}

// resultJSON is a result on the wire. It has a receipt, an error, or both.
type resultJSON struct {
	Receipt  *receiptJSON `json:"receipt,omitempty"`
	Error    *failure     `json:"error,omitempty"`
	Revision uint64       `json:"revision,omitempty"` // of the registry, beside an error
}

// receiptJSON is a receipt on the wire.
type receiptJSON struct {
	Did      string           `json:"did"`
	Revision uint64           `json:"revision"`
	Instance *registry.Record `json:"instance,omitempty"`
	// Same: the instance is that of the operation's "have", in State.
	Same      bool            `json:"same,omitempty"`
	State     *registry.State `json:"state,omitempty"`
	ExpiresIn registry.Span   `json:"expiresIn,omitempty"`
	Count     int             `json:"count,omitempty"`
	Unknown   []string        `json:"unknown,omitempty"`
	Replaced  []string        `json:"replaced,omitempty"`
}

// did are the words for what a write did.
var did = func() map[string]registry.Did {
	words := make(map[string]registry.Did)
	for d := registry.Nothing; d <= registry.Released; d++ {
		words[d.String()] = d
	}
	return words
}()

// json returns the result of o as it goes over the wire.
func (r *result) json(o *operation) resultJSON {
	out := resultJSON{}
	if r.err != nil {
		out.Error, out.Revision = fail(r.err), r.at
		if r.Receipt == (registry.Receipt{}) {
			return out
		}
	}
	c := &receiptJSON{
		Did: r.Did.String(), Revision: r.Revision, ExpiresIn: registry.Span(r.ExpiresIn), Count: r.Count,
		Unknown: texts(r.Unknown), Replaced: texts(r.Replaced),
	}
	switch in := r.Instance; {
	case in == nil:
	case o.haveRevision != 0 && in.Revision == o.haveRevision && in.Key == o.key:
		c.Same, c.State = true, &in.State
	default:
		record := registry.NewRecord(in)
		c.Instance = &record
	}
	out.Receipt = c
	return out
}

// parse checks what came over the wire. The result is that of o.
func (w *resultJSON) parse(o *operation) (r result, err error) {
	if w.Error != nil {
		if r.err, err = w.Error.parse(); err != nil {
			return result{}, err
		}
		r.at = w.Revision
	}
	c := w.Receipt
	if c == nil {
		if w.Error == nil {
			return result{}, malformed("a result has neither a receipt nor an error")
		}
		return r, nil
	}
	d, ok := did[c.Did]
	if !ok {
		return result{}, malformed("a receipt says that the write did %.40q", c.Did)
	}
	if c.Count < 0 || c.Count > math.MaxInt32 {
		return result{}, malformed("a receipt counts %d", c.Count)
	}
	r.Receipt = registry.Receipt{Did: d, Revision: c.Revision, ExpiresIn: duration(c.ExpiresIn), Count: c.Count}
	if r.Unknown, err = keys(c.Unknown); err != nil {
		return result{}, err
	}
	if r.Replaced, err = keys(c.Replaced); err != nil {
		return result{}, err
	}
	r.Instance, err = c.instance(o)
	if err != nil {
		return result{}, err
	}
	if err := c.names(o, r.Instance, r.err); err != nil {
		return result{}, err
	}
	return r, nil
}

// names checks that a receipt has the instance of o, which callers use without a look.
func (c *receiptJSON) names(o *operation, in *registry.Instance, failed error) error {
	switch {
	case in != nil && in.Key != o.key:
		return malformed("a receipt of %s %s has the instance %s", o.kind, o.key, in.Key)
	case in != nil, failed != nil:
		return nil
	}
	switch o.kind {
	case register, renew, deregister, drain:
		return malformed("a receipt of %s %s has no instance", o.kind, o.key)
	case undrain:
		if did[c.Did] != registry.Forgotten {
			return malformed("a receipt of %s %s has no instance", o.kind, o.key)
		}
	}
	return nil
}

// instance returns the instance of the receipt of o; nil: there is none.
func (c *receiptJSON) instance(o *operation) (*registry.Instance, error) {
	switch {
	case c.Same && (o.have == nil || c.State == nil):
		return nil, malformed("a receipt has an instance that was not named")
	case c.Same && o.have.State == *c.State:
		return o.have, nil
	case c.Same:
		in := *o.have
		in.State = *c.State
		return &in, nil
	case c.Instance == nil:
		return nil, nil
	}
	in, err := c.Instance.Instance()
	if err != nil {
		return nil, fmt.Errorf("%w: a receipt: %w", errMalformed, err)
	}
	if c.Instance.State == registry.Unconfirmed {
		in.State = registry.Unconfirmed // a Record is read as it would be after a renewal
	}
	return in, nil
}

func texts(keys []registry.Key) []string {
	if len(keys) == 0 {
		return nil
	}
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.String()
	}
	return out
}

func keys(texts []string) ([]registry.Key, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	out := make([]registry.Key, len(texts))
	for i, s := range texts {
		k, err := registry.ParseKey(s)
		if err != nil {
			return nil, fmt.Errorf("%w: a receipt: %w", errMalformed, err)
		}
		out[i] = k
	}
	return out, nil
}

// Tests: wire_test.go.
