package gobvalue

import (
	"math"
	"reflect"
)

// maxKept bounds what a stream's definitions, and what is made of them, may take
// here, in bytes, roughly. That is some thousand types. A stream with more is left
// to encoding/gob.
const maxKept = 1 << 20

// Decoder reads the values of a stream whose definitions it was shown. encoding/gob
// must have read them as well before a value that comes after them is decoded here:
// else it would not know them when it is needed. Not safe for concurrent use.
type Decoder struct {
	plans   *Plans
	shapes  map[int32]*shape
	layouts map[pairing]*layout // of structs; nil: one that cannot be done here
	targets map[pairing]*target
	last    *target // never nil
	kept    int
	off     bool   // everything is left to encoding/gob from now on
	guard   *Guard // see Under
}

// pairing is a type of the sender and one of ours.
type pairing struct {
	id int32
	rt reflect.Type
}

// target is what Decode was asked for.
type target struct {
	pairing
	layout *layout // nil: left to encoding/gob
	single bool    // not a struct: a zero comes first
	swell  uint64  // bytes of memory that a byte of the message may become
}

// NewDecoder is for a new stream.
func NewDecoder(p *Plans) *Decoder { return &Decoder{plans: p, last: new(target)} }

// Under has the Decoder leave values to encoding/gob that take more memory than g
// allows: g refuses them there. It is called before anything else, and g sees every
// definition, too.
func (d *Decoder) Under(g *Guard) { d.guard = g }

// Define takes the message of a definition, without its length. Types that need a
// definition which it did not get are left to encoding/gob. So is everything after a
// definition that encoding/gob may refuse, which ends the stream.
func (d *Decoder) Define(message []byte) {
	if d.off {
		return
	}
	id, s, ok := parseDefinition(message)
	if !ok || d.shapes[id] != nil {
		d.end()
		return
	}
	if !d.keep(256 + 2*len(message) + 32*len(s.fields)) {
		return
	}
	if d.shapes == nil {
		d.shapes = make(map[int32]*shape)
	}
	d.shapes[id] = s
}

// keep reports whether n bytes more may be kept.
func (d *Decoder) keep(n int) bool {
	if d.kept += n; d.kept > maxKept {
		d.end()
	}
	return !d.off
}

func (d *Decoder) end() {
	*d = Decoder{plans: d.plans, last: new(target), off: true, guard: d.guard}
}

// Decode decodes a value's message, without its length, into what v points to, as
// gob.Decoder.Decode does. v holds no part of message afterwards. If ok is false, decode
// the message with encoding/gob into the same v: v may be partly set, and the result is
// the same as if encoding/gob had decoded it alone.
func (d *Decoder) Decode(message []byte, v any) (ok bool) {
	return d.decode(message, reflect.ValueOf(v), nil)
}

// Take is Decode for a message whose memory may become v's, if mine is true. If most of
// the message is one []byte, v refers to it in place, ok or not. Then keeps is true, and
// the memory is v's. If mine is false, everything is copied, and keeps says whether it is
// worth to have the next message in memory of its own.
func (d *Decoder) Take(message []byte, v any, mine bool) (ok, keeps bool) {
	o := owner{most: len(message) / 2, mine: mine}
	ok = d.decode(message, reflect.ValueOf(v), &o)
	return ok, o.keeps
}

func (d *Decoder) decode(message []byte, v reflect.Value, o *owner) (ok bool) {
	if d.off || v.Kind() != reflect.Pointer || v.IsNil() {
		return false
	}
	defer func() {
		if recover() != nil { // v is being changed by another goroutine
			ok = false
		}
	}()
	id, data, ok := valueID(message)
	if !ok {
		return false
	}
	t := d.last
	if rt := v.Type(); t.id != id || t.rt != rt {
		t = d.target(pairing{id, rt})
	}
	if t.layout == nil {
		return false
	}
	if g := d.guard; g != nil && uint64(len(data)) > g.unseen()/t.swell && g.Check(message, t.rt, nil) != nil {
		return false
	}
	if t.single {
		if len(data) == 0 || data[0] != 0 {
			return false
		}
		data = data[1:]
	}
	data, ok = t.layout.take(data, v, o)
	return ok && len(data) == 0
}

// Skip reports whether message, without its length, is a whole value, so that it can
// be left out without encoding/gob.
func (d *Decoder) Skip(message []byte) (ok bool) {
	id, data, ok := valueID(message)
	if !ok || d.off {
		return false
	}
	t := wireType{id: id}
	if known, _ := d.link(&t); !known {
		return false
	}
	if t.shape == nil || t.shape.op != opStruct {
		if len(data) == 0 || data[0] != 0 {
			return false
		}
		data = data[1:]
	}
	data, ok = t.skip(data)
	return ok && len(data) == 0
}

// valueID takes the type id off.
func valueID(message []byte) (id int32, data []byte, ok bool) {
	x, n := ReadUint(message)
	i := ToInt(x)
	if n == 0 || i <= 0 || i > math.MaxInt32 || len(message) >= tooBig {
		return 0, nil, false
	}
	return int32(i), message[n:], true
}

// target finds out how to decode p, and remembers it.
func (d *Decoder) target(p pairing) *target {
	t := d.targets[p]
	if t == nil {
		t = &target{pairing: p}
		local := d.plans.of(p.rt)
		t.layout = d.layout(local, p.id, make(map[reflect.Type]int32))
		for local.op == opPointer {
			local = local.elem
		}
		t.single = local.op != opStruct
		if !t.single && t.layout != nil && !t.layout.matches() {
			t.layout = nil
		}
		if t.layout != nil {
			t.swell = t.layout.swell(make(map[*layout]uint64))
		}
		if !d.keep(128) {
			return d.last
		}
		if d.targets == nil {
			d.targets = make(map[pairing]*target)
		}
		d.targets[p] = t
	}
	d.last = t
	return t
}
