package rpcwire

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"reflect"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

var (
	// ErrUnread ends a stream at a value that can hold interface values and that was not
	// decoded to its end: its end is not known then.
	ErrUnread = errors.New("a value that can hold interface values was not decoded to its end")

	errNotGob = errors.New("not a gob stream")
	errWhole  = errors.New("the value has no more messages")
)

// LargeError ends a stream at a value that is larger than the limit.
type LargeError struct{ Size, Limit uint64 }

func (e *LargeError) Error() string {
	return fmt.Sprintf("a message of %d bytes is larger than %d", e.Size, e.Limit)
}

// decoded is how many times its limit a value may take when it is decoded.
const decoded = 4

// A Reader reads the gob messages of one direction of a connection. It has each value
// whole in memory before anything decodes it, and knows where the value ends. So a
// value that does not fit is left out, and the next one is read. Not safe for
// concurrent use.
//
// One case does not fit. A value that holds an interface value, whose concrete type the
// sender uses for the first time, is cut in two messages after the definition of
// that type. The end of such a value is known only when it was decoded.
type Reader struct {
	input
	types  *Types
	dec    *gob.Decoder
	values *gobvalue.Decoder // knows the definitions that went by
	guard  *gobvalue.Guard   // knows them too, and sees each value before encoding/gob does

	definitions []byte // that encoding/gob has not read
	read        int    // of definitions and the value: what encoding/gob has read
	prefix      int    // the length's length, of the value's first message
	size        int    // of the value with its length; 0: there is none
	plain       int64  // type id of values without interface values, the last seen

	header   int64 // type id of the peer's plain headers, if it is as expected
	isHeader func(message []byte) (id int64, ok bool)
	long     int64 // type id of its long headers
	isLong   []gobvalue.Field
	defined  int64 // bytes counted in types
	req      rpc.Request
	name     []byte // of a header that is not in the buffer any more
	meta     []byte
}

// NewRequestReader reads what a client sends. A value has at most limit bytes. claim is
// asked before a value takes more memory than a small one, for so many bytes in all; nil
// is never asked.
func NewRequestReader(r io.Reader, limit int, types *Types, claim func(bytes int) error) *Reader {
	return newReader(r, limit, types, claim, isRequest, longRequest)
}

// NewResponseReader reads what a server sends.
func NewResponseReader(r io.Reader, limit int, types *Types) *Reader {
	return newReader(r, limit, types, nil, isResponse, longResponse)
}

func newReader(r io.Reader, limit int, types *Types, claim func(bytes int) error, isHeader func([]byte) (int64, bool), isLong []gobvalue.Field) *Reader {
	d := &Reader{
		input:  input{r: r, limit: limit, pool: &types.Buffers, claim: claim},
		types:  types,
		values: gobvalue.NewDecoder(&types.plans), guard: gobvalue.NewGuard(&types.plans, decoded*uint64(limit)),
		isHeader: isHeader, isLong: isLong,
	}
	if claim != nil {
		d.guard.Claim = d.claimDecoded
	}
	d.values.Under(d.guard)
	d.dec = gob.NewDecoder((*source)(d))
	return d
}

// claimDecoded asks for the memory that the value takes when it is decoded, beside its
// message.
func (d *Reader) claimDecoded(memory int) error {
	if d.large() {
		memory += len(d.buf)
	}
	if err := d.claim(memory); err != nil {
		return d.fail(err)
	}
	return nil
}

// Close forgets the definitions. Nothing is read any more.
func (d *Reader) Close() {
	d.types.defined.Add(-d.defined)
	d.defined = 0
}

// next reads definitions and one value whole. io.EOF is an end between two values.
func (d *Reader) next() error {
	if d.err != nil {
		return d.err
	}
	for first := true; ; first = false {
		prefix, size, err := d.message(0)
		if err != nil {
			if err == io.EOF && !first {
				d.err = io.ErrUnexpectedEOF
			}
			return d.err
		}
		message := d.bytes(prefix, size)
		id, n := gobvalue.ReadUint(message)
		if n == 0 {
			return d.fail(errNotGob)
		}
		if id&1 == 0 {
			d.prefix, d.size, d.read = prefix, size, 0
			return nil
		}
		if err := d.define(message); err != nil {
			return d.fail(err)
		}
		d.definitions = append(d.definitions, d.bytes(0, size)...)
		d.drop(size)
	}
}

func (d *Reader) define(message []byte) error {
	err := d.guard.Define(message)
	if err == nil {
		err = d.countTypes()
	}
	if err != nil {
		return err
	}
	d.values.Define(message)
	d.plain = 0
	if id, ok := d.isHeader(message); ok && d.header == 0 {
		d.header = id
	}
	return nil
}

// countTypes counts what has been defined meanwhile.
func (d *Reader) countTypes() error {
	if d.types.MaxDefinitions == 0 {
		return nil
	}
	more := int64(max(d.guard.Defined()-freeTypes, 0))*typeCost - d.defined
	if more == 0 {
		return nil
	}
	d.defined += more
	if d.types.defined.Add(more) > d.types.MaxDefinitions {
		return errTypes
	}
	return nil
}

// first is the value's first message, without its length.
func (d *Reader) first() []byte { return d.bytes(d.prefix, d.size) }

// end leaves the value.
func (d *Reader) end() {
	d.drop(d.size)
	d.size = 0
}

// Next reads the body that follows a header, for Body.
func (d *Reader) Next() error { return unexpected(d.next()) }

// Loose reports whether the body can hold interface values. Then Body may have to read
// more messages, and wait for them.
func (d *Reader) Loose() bool {
	u, _ := gobvalue.ReadUint(d.first())
	id := gobvalue.ToInt(u)
	if id == d.plain {
		return false
	}
	if d.guard.Loose(id) {
		return true
	}
	d.plain = id
	return false
}

// Body decodes the body that Next has read into what v points to, or leaves it out if
// v is nil. bad is an error of this body only, and broken one of the stream, which ends.
func (d *Reader) Body(v any) (bad, broken error) {
	if v == nil {
		return nil, d.skip()
	}
	if len(d.definitions) == 0 { // encoding/gob must see the first value of each type
		ok := false
		if message := d.first(); d.large() {
			var keeps bool
			if ok, keeps = d.values.Take(message, v, d.own); keeps {
				d.keeps++
			} else {
				d.keeps = 0
			}
		} else {
			ok = d.values.Decode(message, v)
		}
		if ok {
			d.end()
			return nil, nil
		}
		if d.err != nil { // there was no memory for it
			return d.err, d.err
		}
	}
	return d.decode(v)
}

// skip leaves a value out.
func (d *Reader) skip() error {
	if d.Loose() && !d.values.Skip(d.first()) {
		return d.fail(ErrUnread)
	}
	d.end()
	return nil
}

// decode has encoding/gob decode the value, and ends it.
func (d *Reader) decode(v any) (bad, broken error) {
	if bad, broken = d.try(v); broken == nil {
		d.end()
	}
	return bad, broken
}

// try has encoding/gob decode the value, if the guard lets it.
func (d *Reader) try(v any) (bad, broken error) {
	loose := d.Loose()
	var more func() ([]byte, error)
	if loose {
		more = d.more
	}
	bad = d.guard.Check(d.first(), reflect.TypeOf(v), more)
	if err := d.countTypes(); err != nil {
		return err, d.fail(err)
	}
	if bad == nil && d.err == nil {
		if bad = decode(d.dec, v); bad == nil {
			d.guard.Keep()
		} else if d.err == nil && d.read < len(d.definitions) {
			return bad, d.fail(fmt.Errorf("type definition: %v", bad))
		}
		d.definitions = nil
	}
	switch {
	case d.err != nil:
		return d.err, d.err
	case bad != nil && loose:
		return bad, d.fail(ErrUnread)
	}
	return bad, nil
}

// more reads another message of the value.
func (d *Reader) more() ([]byte, error) {
	prefix, size, err := d.message(d.size)
	if err != nil {
		return nil, d.fail(unexpected(err))
	}
	message := d.bytes(d.size+prefix, d.size+size)
	d.size += size
	return message, nil
}

// decode contains panics: of the value's own methods, such as GobDecode, and of
// encoding/gob, which some damaged streams bring to dereference nil.
func decode(dec *gob.Decoder, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding panicked: %v", Printable(p))
		}
	}()
	return dec.Decode(v)
}

// source gives encoding/gob the definitions that it has not read, and the value.
type source Reader

func (s *source) left() ([]byte, error) {
	at := s.read
	if at < len(s.definitions) {
		return s.definitions[at:], nil
	}
	if at -= len(s.definitions); at < s.size {
		return s.bytes(at, s.size), nil
	}
	return nil, errWhole
}

func (s *source) Read(p []byte) (int, error) {
	b, err := s.left()
	n := copy(p, b)
	s.read += n
	return n, err
}

// ReadByte is for encoding/gob, which would put a buffer of its own in front of a
// reader without it.
func (s *source) ReadByte() (byte, error) {
	b, err := s.left()
	if err != nil {
		return 0, err
	}
	s.read++
	return b[0], nil
}
