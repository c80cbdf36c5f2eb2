package member

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/plainjson"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// appendJSON returns what json.Marshal returns.
func (h *head) appendJSON() ([]byte, error) {
	size := 512 // more than the rest has, mostly
	if h.Batch != nil {
		for i := range h.Batch.Changes {
			size += len(h.Batch.Changes[i].Instance) + 2*overhead
		}
		size += len(h.Batch.Fences) * 2 * overhead
	}
	b := make([]byte, 0, size)
	w := timeWriter{}
	b = strconv.AppendInt(append(b, `{"format":`...), int64(h.Format), 10)
	b = plainjson.AppendText(append(b, `,"life":`...), registry.Life(h.Life).String())
	b = strconv.AppendUint(append(b, `,"revision":`...), h.Revision, 10)
	b = strconv.AppendInt(append(b, `,"spares":`...), int64(h.Spares), 10)
	b = w.append(append(b, `,"time":`...), h.Time)
	b = plainjson.AppendText(append(b, `,"writer":`...), h.Writer)
	b = plainjson.AppendText(append(b, `,"member":`...), h.Member)
	if h.Batch != nil {
		b = h.Batch.appendJSON(append(b, `,"batch":`...), &w)
	}
	return append(b, '}'), w.err
}

func (c *batch) appendJSON(b []byte, w *timeWriter) []byte {
	b = strconv.AppendUint(append(b, `{"from":`...), c.From, 10)
	for i := range c.Changes {
		b = append(b, begin(i, `,"changes":[`)...)
		b = w.append(append(b, `{"time":`...), c.Changes[i].Time)
		if raw := c.Changes[i].Instance; len(raw) > 0 {
			b = append(append(b, `,"instance":`...), raw...)
		}
		if name := c.Changes[i].Removed; name != "" {
			b = plainjson.AppendText(append(b, `,"removed":`...), name)
		}
		b = append(b, '}')
	}
	if len(c.Changes) > 0 {
		b = append(b, ']')
	}
	for i := range c.Fences {
		text, err := json.Marshal(&c.Fences[i])
		if err != nil {
			w.err = err
		}
		b = append(append(b, begin(i, `,"fences":[`)...), text...)
	}
	if len(c.Fences) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

// begin is what is before element i of a list.
func begin(i int, first string) string {
	if i == 0 {
		return first
	}
	return ","
}

// timeWriter appends times. Most changes of a commit have the same.
type timeWriter struct {
	last time.Time
	text []byte
	err  error
}

func (w *timeWriter) append(b []byte, t time.Time) []byte {
	if w.text == nil || t != w.last {
		text, err := t.MarshalJSON()
		if err != nil {
			w.err = err
		}
		w.last, w.text = t, text
	}
	return append(b, w.text...)
}

// plainHead reads a head without fences in the form of appendJSON. ok is false for any
// other: that is for encoding/json. The head shares the memory of value.
func plainHead(value []byte) (h *head, ok bool) {
	if len(value) > longestValue {
		return nil, false
	}
	r := plainjson.NewReader(value)
	t := timeReader{r: &r}
	h = &head{Format: format}
	r.Must(`{"format":` + strconv.Itoa(format) + `,"life":`)
	if h.Life.UnmarshalText([]byte(r.Text())) != nil {
		r.Fail()
	}
	r.Must(`,"revision":`)
	h.Revision = r.Uint(64)
	r.Must(`,"spares":`)
	h.Spares = int(r.Uint(31))
	r.Must(`,"time":`)
	h.Time = t.read()
	r.Must(`,"writer":`)
	h.Writer = r.Text()
	r.Must(`,"member":`)
	h.Member = r.Text()
	if r.Is(`,"batch":{"from":`) {
		h.Batch = &batch{From: r.Uint(64)}
		if r.Is(`,"changes":[`) {
			h.Batch.readChanges(&r, &t)
		}
		r.Must("}")
	}
	r.Must("}")
	return h, r.Whole()
}

func (c *batch) readChanges(r *plainjson.Reader, t *timeReader) {
	for more := true; more && !r.Failed(); more = r.Is(",") {
		r.Must(`{"time":`)
		next := change{Time: t.read()}
		if r.Is(`,"instance":`) {
			from := r.Rest()
			next.record = &registry.Record{}
			next.record.ReadPlain(r)
			next.Instance = from[:len(from)-len(r.Rest())]
		}
		if r.Is(`,"removed":`) {
			next.Removed = r.Text()
		}
		r.Must("}")
		c.Changes = append(c.Changes, next)
	}
	r.Must("]")
}

// timeReader reads times. Most changes of a commit have the same.
type timeReader struct {
	r    *plainjson.Reader
	last time.Time
	text []byte
}

func (t *timeReader) read() time.Time {
	from := t.r.Rest()
	if len(t.text) > 0 && bytes.HasPrefix(from, t.text) {
		t.r.Must(string(t.text))
		return t.last
	}
	t.last = t.r.Time()
	t.text = from[:len(from)-len(t.r.Rest())]
	return t.last
}

// Tests: head_test.go.
