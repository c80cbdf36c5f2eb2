package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// format is that of the values under the prefix. A dnsd neither reads nor writes another:
// it would leave out what it does not know.
const format = 1

// mostSpares is how many removals a full store can take. It is the number of instances
// that a rack of servers has; more of them leave when there is space again.
const mostSpares = 1000

// longestValue bounds what is parsed: etcd takes no request above 1.5 MiB by default.
const longestValue = 8 << 20

// head is the value of P/head. Every commit puts it, and it contains the commit.
type head struct {
	Format   int       `json:"format"`
	Life     life      `json:"life"`
	Revision uint64    `json:"revision"` // of the last change; with each spare key that is gone, one more
	Spares   int       `json:"spares"`   // how many spare keys there are
	Time     time.Time `json:"time"`
	Writer   string    `json:"writer"` // the name of the member that wrote it, for people
	Member   string    `json:"member"` // its session
	Batch    *batch    `json:"batch,omitempty"`
}

// batch is a commit: what a follower at revision From does to be at the head's revision.
// Each change has the next revision. Without changes, the revisions after From are used up.
type batch struct {
	From    uint64   `json:"from"`
	Changes []change `json:"changes,omitempty"`
	Fences  []fence  `json:"fences,omitempty"`
}

// change registers an instance, or removes one.
type change struct {
	Time     time.Time       `json:"time"`
	Instance json.RawMessage `json:"instance,omitempty"` // a registry.Record, as in P/i/SERVICE/ID
	Removed  string          `json:"removed,omitempty"`  // "_math._tcp/a1"

	record *registry.Record // Instance, if it was read already
}

// fence is a registry.Fence, here and as the value of P/f/SERVICE/ID. Without incarnation
// and drain there is none.
type fence struct {
	Service     string    `json:"service"`
	ID          string    `json:"id"`
	Incarnation uint64    `json:"incarnation,omitempty"`
	Drained     bool      `json:"drained,omitempty"`
	Time        time.Time `json:"time"`
}

// mostRevision bounds a revision that is read: no counting from it reaches the end of the
// numbers, where the next revision would be 0.
const mostRevision = 1 << 62

// sane says whether a time that was read can be written again: in UTC, its year may have
// five digits, or be below 0, which JSON cannot have.
func sane(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}

var errNoTime = errors.New("has a time whose year in UTC is not 0 to 9999")

// life is a registry.Life in JSON: 16 hexadecimal digits.
type life registry.Life

// MarshalText implements encoding.TextMarshaler.
func (l life) MarshalText() ([]byte, error) { return []byte(registry.Life(l).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *life) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != 16 || n == 0 {
		return fmt.Errorf("%.40q is no life; expected 16 hexadecimal digits", text)
	}
	*l = life(n)
	return nil
}

// parse reads JSON. Unknown fields are left alone: what a reader must know has another
// format.
func parse(value []byte, into any) error {
	if err := checkLength(value); err != nil {
		return err
	}
	return json.Unmarshal(value, into)
}

func checkLength(value []byte) error {
	if len(value) > longestValue {
		return fmt.Errorf("has %d octets; expected at most %d", len(value), longestValue)
	}
	return nil
}

// formatError says that a newer dnsd wrote a value.
type formatError int

func (e formatError) Error() string {
	return fmt.Sprintf("has format %d, and this dnsd knows format %d: a newer dnsd has written it, so update this one", int(e), format)
}

// checkFormat reads only the format of a value, because the rest may be another's.
func checkFormat(value []byte) error {
	var f struct {
		Format int `json:"format"`
	}
	switch err := parse(value, &f); {
	case err != nil:
		return err
	case f.Format > format:
		return formatError(f.Format)
	case f.Format != format:
		return fmt.Errorf("has format %d; expected %d", f.Format, format)
	}
	return nil
}

// parseHead reads the value of P/head and checks everything in it.
func parseHead(value []byte) (*head, error) {
	h, ok := plainHead(value)
	if !ok {
		if err := checkFormat(value); err != nil {
			return nil, err
		}
		h = &head{}
		if err := parse(value, h); err != nil {
			return nil, err
		}
	}
	switch {
	case h.Life == 0:
		return nil, errors.New("has no life")
	case h.Revision == 0:
		return nil, errors.New("has no revision")
	case h.Revision > mostRevision:
		return nil, fmt.Errorf("has revision %d; expected at most %d", h.Revision, uint64(mostRevision))
	case !sane(h.Time):
		return nil, errNoTime
	case h.Spares < 0 || h.Spares > mostSpares:
		return nil, fmt.Errorf("has %d spare keys; expected 0 to %d", h.Spares, mostSpares)
	case h.Batch == nil:
		return h, nil
	case h.Batch.From > h.Revision:
		return nil, fmt.Errorf("goes from revision %d back to %d", h.Batch.From, h.Revision)
	}
	if n := uint64(len(h.Batch.Changes)); n > 0 && h.Batch.From+n != h.Revision {
		return nil, fmt.Errorf("has %d changes from revision %d to %d", n, h.Batch.From, h.Revision)
	}
	return h, nil
}

// batch returns the commit as the registry takes it. It checks every instance.
func (h *head) batch() (*registry.Batch, error) {
	b := &registry.Batch{Revision: h.Revision, Changes: make([]registry.Change, 0, len(h.Batch.Changes))}
	for i, c := range h.Batch.Changes {
		next := registry.Change{Revision: h.Batch.From + uint64(i) + 1, Time: c.Time}
		switch {
		case !sane(c.Time):
			return nil, fmt.Errorf("change %d: %w", next.Revision, errNoTime)
		case (c.Instance == nil) == (c.Removed == ""):
			return nil, fmt.Errorf("change %d is neither of an instance nor a removal", next.Revision)
		case c.Instance != nil:
			in, err := c.instance()
			if err != nil {
				return nil, fmt.Errorf("change %d: %w", next.Revision, err)
			}
			if in.Revision != next.Revision {
				return nil, fmt.Errorf("change %d: the instance has revision %d", next.Revision, in.Revision)
			}
			next.New = in
		default:
			k, err := registry.ParseKey(c.Removed)
			if err != nil {
				return nil, fmt.Errorf("change %d: %w", next.Revision, err)
			}
			next.Old = &registry.Instance{Key: k}
		}
		b.Changes = append(b.Changes, next)
	}
	for i := range h.Batch.Fences {
		f, err := h.Batch.Fences[i].fence()
		if err != nil {
			return nil, err
		}
		b.Fences = append(b.Fences, f)
	}
	return b, nil
}

// instance checks everything in the instance of c.
func (c *change) instance() (*registry.Instance, error) {
	if c.record != nil {
		return c.record.Instance()
	}
	return parseInstance(c.Instance)
}

// parseInstance reads a registry.Record and checks everything in it.
func parseInstance(value []byte) (*registry.Instance, error) {
	if err := checkLength(value); err != nil {
		return nil, err
	}
	r, err := registry.ParseRecord(value)
	if err != nil {
		return nil, err
	}
	return r.Instance()
}

// fence returns f as the registry takes it.
func (f *fence) fence() (registry.Fence, error) {
	k, err := registry.NewKey(f.Service, f.ID)
	if err != nil {
		return registry.Fence{}, fmt.Errorf("fence: %w", err)
	}
	if !sane(f.Time) {
		return registry.Fence{}, fmt.Errorf("fence of %s: %w", k, errNoTime)
	}
	return registry.Fence{Key: k, Incarnation: f.Incarnation, Drained: f.Drained, Time: f.Time}, nil
}

// newFence is the opposite of fence.
func newFence(f registry.Fence) fence {
	return fence{f.Service, f.ID, f.Incarnation, f.Drained, f.Time.UTC()}
}

// encode returns the JSON of what cannot fail to have one.
func encode(v any) (b []byte) {
	var err error
	switch v := v.(type) {
	case registry.Record:
		b = v.AppendJSON(make([]byte, 0, 256)) // most are shorter
	case *head:
		b, err = v.appendJSON()
	default:
		b, err = json.Marshal(v)
	}
	if err != nil {
		panic(fmt.Sprintf("member: %T has no JSON: %v", v, err)) // only values of this package and registry.Record get here
	}
	return b
}
