package conn

import (
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/rollcall-dns/rollcall/internal/gobwire"
)

// frames reads gob messages whole. A gob stream is a sequence of messages,
// each a byte count and so many bytes, which begin with a type id: negative
// for the definition of a type, else a value of that type follows
// (encoding/gob, "Encoding Details").
//
// One case does not fit: a value that holds an interface value, whose concrete type
// the sender uses for the first time, is cut in two messages behind the
// definition of that type. Where it ends, only the decoder knows. So the decoder
// gets more when it asks, and may block then, though rarely.
type frames struct {
	r        io.Reader
	max      int
	buf      []byte
	pos, end int    // buf[pos:end] was read and not yet decoded
	val      int    // where the value's message begins
	limit    int    // the decoder may read up to here
	shared   []byte // while buf is of one reply, which may keep a part of it: the usual one
	keeps    int    // how many large replies in a row did, or would have

	single bool  // the value ends with its message, whatever encoding/gob thinks
	plain  int64 // type id of values without interface values, the last seen

	responseID int64            // type id of the peer's rpc.Response, if it is as expected
	values     *gobwire.Decoder // knows the definitions that went by
	guard      *gobwire.Guard   // and so does this; it sees whatever encoding/gob is given
}

const (
	framesMin  = 16 << 10 // first buffer: a batch of small replies a read
	framesKeep = 1 << 20  // a larger buffer is dropped once it is empty
	// framesOwn is from where on, and framesKeep up to where, a message is worth a
	// buffer of its own: that costs a read more, and saves to copy it.
	framesOwn = 32 << 10
)

// value blocks until any definitions and one value are read whole.
func (f *frames) value() error {
	f.val, f.single = f.pos, false
	if f.pos == f.end && f.pos > 0 {
		f.pos, f.end, f.val = 0, 0, 0
		if f.shared != nil {
			f.buf, f.shared = f.shared, nil
		} else if cap(f.buf) > framesKeep {
			f.buf = nil
		}
	}
	off := 0 // from pos, for the buffer moves
	for {
		size, head, err := f.uint(off)
		if err != nil {
			return eofWithin(err, off > 0)
		}
		if size > uint64(f.max) {
			return &largeError{size, f.max}
		}
		if off == 0 && f.keeps > 1 && size >= framesOwn && size <= framesKeep {
			f.give(head + int(size))
		}
		if err := f.fill(off + head + int(size)); err != nil {
			return eofWithin(err, true)
		}
		msg := f.buf[f.pos+off+head : f.pos+off+head+int(size)]
		id, n := gobwire.ReadUint(msg)
		if n == 0 {
			return errBadGob
		}
		if id&1 == 0 {
			f.val = f.pos + off
			f.limit = f.val + head + int(size)
			return nil
		}
		if err := f.guard.Define(msg); err != nil {
			return err
		}
		f.values.Define(msg)
		if f.responseID == 0 {
			if id, ok := gobwire.IsResponse(msg); ok {
				f.responseID = id
			}
		}
		off += head + int(size)
		if off > f.max {
			return fmt.Errorf("type definitions of %d bytes are larger than %d", off, f.max)
		}
	}
}

func eofWithin(err error, within bool) error {
	if within && err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// uint reads an unsigned integer at pos+off.
func (f *frames) uint(off int) (x uint64, size int, err error) {
	if err := f.fill(off + 1); err != nil {
		return 0, 0, err
	}
	if b := f.buf[f.pos+off]; b > 0x7f {
		n := -int(int8(b))
		if n > 8 {
			return 0, 0, errBadGob
		}
		if err := f.fill(off + 1 + n); err != nil {
			return 0, 0, eofWithin(err, true)
		}
	}
	x, size = gobwire.ReadUint(f.buf[f.pos+off : f.end])
	return x, size, nil
}

// header reads the value as a response header, if it is a plain one.
func (f *frames) header() (r gobwire.Response, ok bool) {
	if f.responseID == 0 || f.pos != f.val {
		return r, false // its definition came with it: the decoder must see that
	}
	msg := f.buf[f.val:f.limit]
	_, n := gobwire.ReadUint(msg)
	id, m := gobwire.ReadUint(msg[n:])
	if gobwire.ToInt(id) != f.responseID {
		return r, false
	}
	if r, ok = gobwire.ParseResponse(msg[n+m:]); ok {
		f.pos = f.limit
	}
	return r, ok
}

// decode decodes the value, or skips it if v is nil, if it is of a type that is known
// here.
func (f *frames) decode(v any) (ok bool) {
	if f.pos != f.val {
		return false // its definition came with it: the decoder must see that
	}
	switch msg := f.message(); {
	case v == nil:
		ok = f.values.Skip(msg)
	case len(msg) < framesOwn:
		ok = f.values.Decode(msg, v)
	default:
		var keeps bool
		if ok, keeps = f.values.Take(msg, v, f.shared != nil); keeps {
			f.keeps++
		} else {
			f.keeps = 0
		}
	}
	if ok {
		f.pos = f.limit
	}
	return ok
}

// message is that of the value, without its length.
func (f *frames) message() []byte {
	msg := f.buf[f.val:f.limit]
	_, n := gobwire.ReadUint(msg)
	return msg[n:]
}

// cut reports whether the value may go on in messages that have not come, and finds
// out about single.
func (f *frames) cut() bool {
	msg := f.message()
	u, _ := gobwire.ReadUint(msg)
	id := gobwire.ToInt(u)
	if id == f.plain {
		return false
	}
	switch {
	case !f.values.Knows(id):
		return true
	case !f.values.Loose(id):
		f.plain = id
		return false
	}
	f.single = f.values.Skip(msg)
	return !f.single
}

// check has the guard look at the value before encoding/gob decodes it into v, or skips
// it if v is nil. It may block until the value's other messages are there.
func (f *frames) check(v any) error {
	var more func() ([]byte, error)
	if v != nil && !f.single {
		behind := f.limit - f.pos
		more = func() ([]byte, error) {
			limit := f.limit - f.pos // the buffer may move
			defer func() { f.limit = f.pos + limit }()
			size, head, err := f.uint(behind)
			if err == nil && size > uint64(f.max) {
				err = &largeError{size, f.max}
			}
			if err == nil {
				err = f.fill(behind + head + int(size))
			}
			if err != nil {
				return nil, eofWithin(err, true)
			}
			message := f.buf[f.pos+behind+head : f.pos+behind+head+int(size)]
			behind += head + int(size)
			return message, nil
		}
	}
	return f.guard.Check(f.message(), reflect.TypeOf(v), more)
}

// skip leaves the rest of a single value out. It fails before encoding/gob has seen
// the definitions that came with it.
func (f *frames) skip() bool {
	if !f.single || f.pos < f.val {
		return false
	}
	f.pos = f.limit
	return true
}

// give gives the message that begins at pos, of n bytes, a buffer of its own, unless
// it is in the usual one already.
func (f *frames) give(n int) {
	if f.end-f.pos >= n || f.shared != nil {
		return
	}
	own := make([]byte, n)
	f.end = copy(own, f.buf[f.pos:f.end])
	// The usual one shall be too small for the next such message, and no larger behind
	// its end.
	f.shared = f.buf
	if len(f.buf) > framesMin {
		f.shared = make([]byte, framesMin)
	}
	f.buf, f.pos, f.val = own, 0, 0
}

// largeError is a message beyond Config.Conn.MaxReply.
type largeError struct {
	size uint64
	max  int
}

func (e *largeError) Error() string {
	return fmt.Sprintf("reply of %d bytes is larger than %d", e.size, e.max)
}

// errWhole is for encoding/gob, which reads beyond a nil interface value that it skips.
var errWhole = errors.New("the value has no more messages")

var errBadGob = errors.New("not a gob stream")

// fill reads until n bytes from pos on are there. The buffer grows with what
// has arrived, not with what a length promises.
func (f *frames) fill(n int) error {
	for f.end-f.pos < n {
		if f.pos+n > len(f.buf) {
			f.shared = nil            // it is no longer of one reply
			keep := min(f.pos, f.val) // what rewind may want again stays
			if keep > 0 {
				f.end = copy(f.buf, f.buf[keep:f.end])
				f.pos -= keep
				f.val -= keep
			}
			if f.end == len(f.buf) {
				size := max(framesMin, min(2*len(f.buf), f.pos+n+framesMin))
				f.buf = append(make([]byte, 0, size), f.buf[:f.end]...)[:size]
			}
		}
		m, err := f.r.Read(f.buf[f.end:])
		f.end += m
		if err != nil && f.end-f.pos < n {
			if err == io.EOF && f.end > f.pos {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// more reads another message whole.
func (f *frames) more() error {
	if f.single {
		return errWhole
	}
	size, head, err := f.uint(0)
	if err == nil && size > uint64(f.max) {
		err = &largeError{size, f.max}
	}
	if err == nil {
		err = f.fill(head + int(size))
	}
	if err != nil {
		return eofWithin(err, true)
	}
	f.limit = f.pos + head + int(size)
	return nil
}

// rewind lets the value be decoded again, without the definitions before it.
func (f *frames) rewind() { f.pos = f.val }

// Read gives the decoder what value has read.
func (f *frames) Read(p []byte) (int, error) {
	if f.pos >= f.limit {
		if err := f.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.buf[f.pos:f.limit])
	f.pos += n
	return n, nil
}

// ReadByte makes the decoder read from frames without a buffer of its own.
func (f *frames) ReadByte() (byte, error) {
	if f.pos >= f.limit {
		if err := f.more(); err != nil {
			return 0, err
		}
	}
	b := f.buf[f.pos]
	f.pos++
	return b, nil
}
