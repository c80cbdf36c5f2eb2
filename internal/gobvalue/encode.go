package gobvalue

import (
	"math"
	"math/bits"
	"reflect"
)

// tooBig is the size from which on encoding/gob refuses to write a message, and to read it.
const tooBig = 1 << 30 << (^uint(0) >> 62)

// Encoder writes the values of a stream whose types encoding/gob has defined on it
// before: see Wrote. Not safe for concurrent use.
type Encoder struct {
	plans *Plans
	types map[reflect.Type]*written
	last  *written // the type asked for last; never nil
}

// written is a type that is defined on the stream.
type written struct {
	rt   reflect.Type
	plan *plan  // nil: left to encoding/gob
	id   []byte // as it is written
	room int    // for the length: as many bytes as the last value needed
}

// NewEncoder is for a new stream.
func NewEncoder(p *Plans) *Encoder {
	return &Encoder{plans: p, types: make(map[reflect.Type]*written), last: new(written)}
}

// Append appends the message of v, its length included, as encoding/gob would write
// it. If ok is false, b is unchanged (but the memory after its end is not): encode v with
// encoding/gob, which has the error if there is one, and tell Wrote. A panic, such as
// when v is being changed by another goroutine, is not ok.
func (e *Encoder) Append(b []byte, v any) (out []byte, ok bool) {
	w := e.of(reflect.TypeOf(v))
	if w == nil || w.plan == nil {
		return b, false
	}
	defer func() {
		if recover() != nil {
			out, ok = b, false
		}
	}()
	out = w.append(w.plan, b, reflect.ValueOf(v))
	if out == nil {
		return b, false
	}
	return out, true
}

// Wrote is told when encoding/gob has written v without an error. messages are all
// that it wrote: definitions, and the value at the end. From then on Append knows the
// type, if it is one that can be done here.
func (e *Encoder) Wrote(v any, messages []byte) {
	rt := reflect.TypeOf(v)
	if rt == nil || e.of(rt) != nil {
		return
	}
	w := &written{rt: rt, room: 1}
	e.types[rt], e.last = w, w
	p := e.plans.of(rt)
	message := LastMessage(messages)
	_, n := ReadUint(message)
	id, m := ReadUint(message[n:])
	if !p.can || m == 0 || id&1 != 0 {
		return
	}
	w.id = AppendUint(nil, id)
	if !p.checked.Load() {
		// Once a process, the result is compared with that of encoding/gob.
		own := w.append(p, nil, reflect.ValueOf(v))
		if own == nil || len(own) != len(message) || !p.maps && string(own) != string(message) {
			return
		}
		p.checked.Store(true)
	}
	w.plan = p
}

func (e *Encoder) of(rt reflect.Type) *written {
	if rt == e.last.rt {
		if rt == nil {
			return nil
		}
		return e.last
	}
	w := e.types[rt]
	if w != nil {
		e.last = w
	}
	return w
}

// append is nil if v cannot be encoded.
func (w *written) append(p *plan, b []byte, v reflect.Value) []byte {
	var room [9]byte
	mark := len(b)
	b = append(b, room[:w.room]...)
	b = append(b, w.id...)
	for p.op == opPointer {
		if v.IsNil() {
			return nil
		}
		v, p = v.Elem(), p.elem
	}
	if p.op == opStruct {
		b = p.appendStruct(b, v)
	} else {
		b = p.append(append(b, 0), v, 0)
	}
	if b == nil || len(b)-mark-w.room >= tooBig {
		return nil
	}
	b = SetLength(b, mark, w.room)
	_, w.room = ReadUint(b[mark:])
	return b
}

// append writes v. It returns nil if v cannot be written. A field of a struct comes after
// delta, the distance to the field before, or is left out if it is zero. An element of
// anything else has delta 0 and is always written. It is long because each kind of
// value has its own rule for zero.
func (p *plan) append(b []byte, v reflect.Value, delta uint64) []byte {
	switch p.op {
	case opBool:
		if v.Bool() {
			return append(appendDelta(b, delta), 1)
		} else if delta == 0 {
			return append(b, 0)
		}
	case opInt:
		if i := v.Int(); i != 0 || delta == 0 {
			return AppendUint(appendDelta(b, delta), ToUint(i))
		}
	case opUint:
		if x := v.Uint(); x != 0 || delta == 0 {
			return AppendUint(appendDelta(b, delta), x)
		}
	case opFloat:
		if f := v.Float(); f != 0 || delta == 0 {
			return AppendUint(appendDelta(b, delta), floatBits(f))
		}
	case opComplex:
		if c := v.Complex(); c != 0 || delta == 0 {
			b = AppendUint(appendDelta(b, delta), floatBits(real(c)))
			return AppendUint(b, floatBits(imag(c)))
		}
	case opBytes:
		if s := v.Bytes(); len(s) > 0 || delta == 0 {
			return append(AppendUint(appendDelta(b, delta), uint64(len(s))), s...)
		}
	case opString:
		if s := v.String(); len(s) > 0 || delta == 0 {
			return AppendString(appendDelta(b, delta), s)
		}
	case opSlice:
		if v.Len() == 0 && delta != 0 {
			return b
		}
		b = appendDelta(b, delta)
		if p.quick.append != nil {
			return p.quick.append(b, v)
		}
		return p.appendElems(b, v)
	case opArray: // written also if it is zero
		b = appendDelta(b, delta)
		if p.rt.Elem().Kind() == reflect.Uint8 && v.CanAddr() {
			b = AppendUint(b, uint64(p.len))
			for _, c := range v.Bytes() {
				b = AppendUint(b, uint64(c))
			}
			return b
		}
		return p.appendElems(b, v)
	case opMap:
		if v.IsNil() && delta != 0 { // an empty one is written
			return b
		}
		return p.appendMap(appendDelta(b, delta), v)
	case opStruct: // always written
		return p.appendStruct(appendDelta(b, delta), v)
	case opPointer:
		if !v.IsNil() {
			return p.elem.append(b, v.Elem(), delta)
		} else if delta == 0 {
			return nil
		}
	default:
		return nil
	}
	return b
}

func appendDelta(b []byte, delta uint64) []byte {
	if delta == 0 {
		return b
	}
	return AppendUint(b, delta)
}

func (p *plan) appendStruct(b []byte, v reflect.Value) []byte {
	last := -1
	for i := range p.fields {
		f := &p.fields[i]
		mark := len(b)
		b = f.append(b, v.Field(f.index), uint64(i-last))
		if b == nil {
			return nil
		}
		if len(b) > mark {
			last = i
		}
	}
	return append(b, 0)
}

func (p *plan) appendElems(b []byte, v reflect.Value) []byte {
	n := v.Len()
	b = AppendUint(b, uint64(n))
	for i := 0; i < n && b != nil; i++ {
		b = p.elem.append(b, v.Index(i), 0)
	}
	return b
}

// pair has an entry of a map, copied to be looked at.
type pair struct {
	iter      reflect.MapIter
	key, elem reflect.Value
}

func (p *plan) appendMap(b []byte, v reflect.Value) []byte {
	at := p.pairs.Get().(*pair)
	defer p.put(at)
	left := v.Len()
	b = AppendUint(b, uint64(left))
	at.iter.Reset(v)
	for ; b != nil && at.iter.Next(); left-- {
		at.key.SetIterKey(&at.iter)
		at.elem.SetIterValue(&at.iter)
		if b = p.key.append(b, at.key, 0); b != nil {
			b = p.elem.append(b, at.elem, 0)
		}
	}
	if left != 0 { // another goroutine has changed it: that must not spoil the stream
		return nil
	}
	return b
}

// put gives a pair back, cleared so that it keeps nothing alive.
func (p *plan) put(at *pair) {
	at.iter.Reset(reflect.Value{})
	at.key.SetZero()
	at.elem.SetZero()
	p.pairs.Put(at)
}

// floatBits has the exponent in the low bits, so that whole numbers are short.
func floatBits(f float64) uint64 { return bits.ReverseBytes64(math.Float64bits(f)) }

func bitsFloat(x uint64) float64 { return math.Float64frombits(bits.ReverseBytes64(x)) }
