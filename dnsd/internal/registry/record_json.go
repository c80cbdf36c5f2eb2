package registry

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/plainjson"
)

// AppendJSON appends what json.Marshal returns.
func (c *Record) AppendJSON(b []byte) []byte {
	text := func(field, s string) { b = plainjson.AppendText(append(b, field...), s) }
	number := func(field string, n uint64) { b = strconv.AppendUint(append(b, field...), n, 10) }
	text(`{"service":`, c.Service)
	text(`,"id":`, c.ID)
	text(`,"host":`, c.Host)
	number(`,"port":`, uint64(c.Port))
	number(`,"priority":`, uint64(c.Priority))
	number(`,"weight":`, uint64(c.Weight))
	text(`,"ttl":`, time.Duration(c.TTL).String())
	text(`,"lease":`, time.Duration(c.Lease).String())
	if len(c.Meta) > 0 {
		b = append(b, `,"meta":`...)
		b = appendTexts(b, c.Meta)
	}
	if c.Incarnation > 0 {
		number(`,"incarnation":`, c.Incarnation)
	}
	text(`,"state":`, c.State.String())
	if c.Sticky {
		b = append(b, `,"sticky":true`...)
	}
	number(`,"revision":`, c.Revision)
	if c.Behind > 0 {
		number(`,"behind":`, uint64(c.Behind))
	}
	if c.Drain {
		b = append(b, `,"drain":true`...)
	}
	return append(b, '}')
}

// appendTexts appends an object, ordered by field.
func appendTexts(b []byte, m map[string]string) []byte {
	var room [8]string
	fields := room[:0]
	for f := range m {
		fields = append(fields, f)
	}
	slices.Sort(fields)
	sign := byte('{')
	for _, f := range fields {
		b = plainjson.AppendText(append(b, sign), f)
		b = plainjson.AppendText(append(b, ':'), m[f])
		sign = ','
	}
	return append(b, '}')
}

// ReadPlain reads a record in the form of AppendJSON. What r reads may be another form:
// then r fails, and c has no meaning.
func (c *Record) ReadPlain(r *plainjson.Reader) {
	r.Must(`{"service":`)
	c.Service = r.Text()
	r.Must(`,"id":`)
	c.ID = r.Text()
	r.Must(`,"host":`)
	c.Host = r.Text()
	r.Must(`,"port":`)
	c.Port = uint16(r.Uint(16))
	r.Must(`,"priority":`)
	c.Priority = uint16(r.Uint(16))
	r.Must(`,"weight":`)
	c.Weight = uint16(r.Uint(16))
	r.Must(`,"ttl":`)
	c.TTL = Span(r.Duration())
	r.Must(`,"lease":`)
	c.Lease = Span(r.Duration())
	if c.TTL < 0 || c.Lease < 0 {
		r.Fail()
	}
	if r.Is(`,"meta":{`) {
		c.Meta = make(map[string]string)
		for more := !r.Is("}"); more && !r.Failed(); more = r.Is(",") {
			field := r.Text()
			r.Must(":")
			c.Meta[field] = r.Text()
		}
		if len(c.Meta) > 0 {
			r.Must("}")
		}
	}
	if r.Is(`,"incarnation":`) {
		c.Incarnation = r.Uint(64)
	}
	r.Must(`,"state":`)
	i := slices.Index(stateWords[:], r.Text())
	if i < 0 {
		r.Fail()
	}
	c.State = State(max(i, 0))
	c.Sticky = r.Is(`,"sticky":true`)
	r.Must(`,"revision":`)
	c.Revision = r.Uint(64)
	if r.Is(`,"behind":`) {
		c.Behind = uint16(r.Uint(16))
	}
	c.Drain = r.Is(`,"drain":true`)
	r.Must("}")
}

// ParseRecord is json.Unmarshal.
func ParseRecord(text []byte) (c Record, err error) {
	r := plainjson.NewReader(text)
	if c.ReadPlain(&r); r.Whole() {
		return c, nil
	}
	c = Record{}
	err = json.Unmarshal(text, &c)
	return c, err
}

// Tests: record_test.go.
