package rpcserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync/atomic"

	"github.com/rollcall-dns/rollcall/internal/gobwire"
)

// maxPeek bounds the headers that are looked at before encoding/gob gets them; it fits
// the buffer.
const maxPeek = 8 << 10

// ahead is how many times what has come of a message there is memory for: a client that
// sends a length and little more costs that.
const ahead = 8

// errNotGob: what came cannot be the length or type of a gob message.
var errNotGob = errors.New("not a gob message")

// frames hands a gob stream to a decoder message by message and knows at each
// moment where in it we are: that is what limits need, and what tells an argument
// of the wrong type, after which reading can go on, from a broken stream.
type frames struct {
	r      *bufio.Reader
	limit  int // bytes a message may have
	pool   *buffers
	values *gobwire.Decoder // knows the definitions that went by
	guard  *gobwire.Guard   // and so does this; it sees whatever encoding/gob is given
	types  *typeMemory
	kept   int64                 // bytes of it, for definitions
	claim  func(bytes int) error // waits until there may be so much memory for a buffer; nil: there may

	ahead      []byte // of messages that are whole in memory: what was not yet read
	buffer     []byte // that ahead is in
	given      bool   // that buffer is for one argument, which may keep a part of it
	keeps      int    // how many such arguments in a row did, or would have
	left       int    // bytes of the current message, its length included, not yet read
	definition bool   // the current message defines a type
	request    int64  // the id that the peer gave rpc.Request, if it is the expected type
	err        error  // what ended the stream

	// Of the value that encoding/gob is given:
	parts   int          // messages so far: with interface values there may be several
	into    reflect.Type // what it is decoded into; nil: it is skipped
	loose   bool         // it may hold interface values
	single  bool         // but ends with its first message, whatever encoding/gob thinks
	refused error        // encoding/gob does not get it
}

// expect is for the next value.
func (f *frames) expect(into reflect.Type) {
	f.parts, f.into, f.loose, f.single, f.refused = 0, into, false, false, nil
}

// begin looks at the next message without consuming it: the length of its
// prefix, its whole size with that, and its type id with that one's length.
func (f *frames) begin() (prefix, size int, id int64, idSize int, err error) {
	b, err := f.peek(1)
	if err != nil {
		return 0, 0, 0, 0, f.fail(err) // io.EOF: the end, between messages
	}
	n, prefix := gobwire.ReadUint(b)
	if prefix == 0 { // a length of several bytes
		k := -int(int8(b[0]))
		if k > 8 {
			return 0, 0, 0, 0, f.fail(errNotGob)
		}
		if b, err = f.peek(1 + k); err != nil {
			return 0, 0, 0, 0, f.fail(unexpected(err))
		}
		n, prefix = gobwire.ReadUint(b)
	}
	if n == 0 { // encoding/gob will say what it thinks of it
		return prefix, prefix, 0, 0, nil
	}
	if n > uint64(f.limit) {
		return 0, 0, 0, 0, f.fail(fmt.Errorf("message of %d bytes is over the limit of %d", n, f.limit))
	}
	size = prefix + int(n)
	if b, err = f.peek(min(size, prefix+9)); err != nil {
		return 0, 0, 0, 0, f.fail(unexpected(err))
	}
	u, idSize := gobwire.ReadUint(b[prefix:])
	if idSize == 0 {
		return 0, 0, 0, 0, f.fail(errNotGob)
	}
	return prefix, size, gobwire.ToInt(u), idSize, nil
}

// peek is Peek, but what is buffered is enough to see the end of a message.
func (f *frames) peek(n int) ([]byte, error) {
	if len(f.ahead) > 0 {
		return f.ahead[:min(n, len(f.ahead))], nil
	}
	b, err := f.r.Peek(n)
	if len(b) == n {
		return b, nil
	}
	return b, err
}

// header consumes the next message if it is a header that can be read here. Else
// nothing is consumed. The name is valid until the next read.
func (f *frames) header() (name []byte, seq uint64, ok bool, err error) {
	prefix, size, id, idSize, err := f.begin()
	if err != nil {
		return nil, 0, false, err
	}
	if f.request == 0 || id != f.request || size > maxPeek {
		return nil, 0, false, nil
	}
	b, err := f.peek(size)
	if err != nil {
		return nil, 0, false, f.fail(unexpected(err))
	}
	name, seq, ok = gobwire.ParseRequest(b[prefix+idSize:])
	if ok {
		f.drop(size)
	}
	return name, seq, ok, nil
}

// enter makes the next message the current one.
func (f *frames) enter() error {
	if f.parts > 0 && len(f.ahead) == 0 { // the value has ended, whatever encoding/gob thinks
		f.loose = true
		return errLoose
	}
	prefix, size, id, _, err := f.begin()
	if err != nil {
		return err
	}
	f.left, f.definition = size, id < 0
	switch {
	case !f.definition:
		if f.parts++; f.parts == 1 {
			return f.check(prefix, size, id)
		}
		return nil
	case f.parts > 0: // within a value: the guard has seen it
		return nil
	}
	b, err := f.whole(size)
	if err != nil {
		return err
	}
	err = f.guard.Define(b[prefix:])
	if err == nil {
		err = f.keepTypes()
	}
	if err != nil {
		return f.fail(err)
	}
	f.values.Define(b[prefix:])
	if id, ok := gobwire.IsRequest(b[prefix:]); ok && f.request == 0 {
		f.request = id
	}
	return nil
}

// check has the guard look at a value before encoding/gob gets it, and finds out
// whether one with interface values ends with its first message. One that the guard
// refuses is skipped as far as it goes.
func (f *frames) check(prefix, size int, id int64) error {
	b, err := f.whole(size)
	if err != nil {
		return err
	}
	if f.loose = f.values.Loose(id); f.loose {
		f.single = f.values.Skip(b[prefix:])
	}
	behind := size // of the messages that belong to the value
	more := func() ([]byte, error) {
		next, prefix, err := f.another(behind)
		if err != nil {
			return nil, err
		}
		behind += len(next)
		return next[prefix:], nil
	}
	if f.into == nil {
		more = nil
	}
	f.refused = f.guard.Check(b[prefix:], f.into, more)
	if err := f.keepTypes(); err != nil {
		return f.fail(err)
	}
	if f.refused == nil {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	f.drop(behind)
	f.left = 0
	return f.refused
}

// typeMemory bounds what the type definitions of all connections take, which are kept as
// long as those live. A connection has some for nothing.
type typeMemory struct {
	used atomic.Int64
	most int64
}

const (
	freeTypes = 16 << 10 // bytes of definitions: some hundred types
	typeCost  = 16       // bytes that are kept for one of a definition, about
)

// errTypes is for a connection that defines more types when others have done so, too.
var errTypes = errors.New("type definitions take more memory than there is for them")

// keepTypes counts what has been defined meanwhile.
func (f *frames) keepTypes() error {
	more := int64(max(f.guard.Defined()-freeTypes, 0))*typeCost - f.kept
	if more == 0 {
		return nil
	}
	f.kept += more
	if f.types.used.Add(more) > f.types.most {
		return errTypes
	}
	return nil
}

// end forgets all types.
func (f *frames) end() { f.types.used.Add(-f.kept) }

// value decodes the next message, or skips it if v is nil, if it is a value of a type
// that is known here. Else nothing is consumed.
func (f *frames) value(v any) (ok bool, err error) {
	prefix, size, id, _, err := f.begin()
	if err != nil {
		return false, err
	}
	if id <= 0 {
		return false, nil
	}
	b, err := f.whole(size)
	if err != nil {
		return false, err
	}
	switch {
	case v == nil:
		ok = f.values.Skip(b[prefix:])
	case f.buffer == nil:
		ok = f.values.Decode(b[prefix:], v)
	default:
		var keeps bool
		if ok, keeps = f.values.Take(b[prefix:], v, f.given); keeps {
			f.keeps++
		} else {
			f.keeps = 0
		}
	}
	if f.err != nil { // no memory was left for it
		return false, f.err
	}
	if ok {
		f.drop(size)
	}
	return ok, nil
}

// claimDecoded waits until there is memory for what the present message becomes.
func (f *frames) claimDecoded(memory int) error {
	if err := f.claim(len(f.ahead) + memory); err != nil {
		return f.fail(err)
	}
	return nil
}

// whole gives the next message, of so many bytes, without consuming it.
func (f *frames) whole(size int) ([]byte, error) {
	if len(f.ahead) > 0 || size <= f.r.Size() {
		b, err := f.peek(size)
		if err != nil {
			return nil, f.fail(unexpected(err))
		}
		return b, nil
	}
	f.given = f.keeps > 1 // not where they come in turn with others
	if err := f.fill(size); err != nil {
		return nil, err
	}
	return f.ahead, nil
}

// another gives the message that stands so far behind the present place, with its
// length, of which prefix is that of the length; all is kept in memory up to its end.
func (f *frames) another(behind int) (message []byte, prefix int, err error) {
	for need := behind + 1; ; {
		if err := f.fill(need); err != nil {
			return nil, 0, err
		}
		n, prefix := gobwire.ReadUint(f.ahead[behind:])
		if prefix > 0 {
			if n > uint64(f.limit-min(behind, f.limit)) {
				return nil, 0, f.fail(fmt.Errorf("message of %d bytes behind %d others of one value is over the limit of %d", n, behind, f.limit))
			}
			size := prefix + int(n)
			if err := f.fill(behind + size); err != nil {
				return nil, 0, err
			}
			return f.ahead[behind : behind+size], prefix, nil
		}
		k := -int(int8(f.ahead[behind]))
		if k > 8 {
			return nil, 0, f.fail(errNotGob)
		}
		need = behind + 1 + k
	}
}

// fill sees to it that size bytes are in ahead. The buffer grows with what has come.
func (f *frames) fill(size int) error {
	for len(f.ahead) < size {
		have := len(f.ahead)
		if f.buffer == nil || have == cap(f.ahead) {
			come := have
			if come == 0 {
				come = f.r.Buffered()
			}
			room := min(size, max(ahead*come, f.r.Size()))
			if f.claim != nil {
				if err := f.claim(room); err != nil {
					return f.fail(err)
				}
			}
			f.grow(room)
		}
		to := f.ahead[have:min(size, cap(f.ahead))]
		n, err := io.ReadFull(f.r, to)
		f.ahead = f.ahead[:have+n]
		if err != nil {
			f.release()
			return f.fail(unexpected(err))
		}
	}
	return nil
}

// grow moves what is in memory to a buffer of size bytes.
func (f *frames) grow(size int) {
	old := f.buffer
	if f.given || size < maxBusy { // the pool's are larger
		f.buffer = make([]byte, size)
	} else {
		f.buffer = f.pool.take(size)
	}
	f.ahead = append(f.buffer[:0:size], f.ahead...)
	if !f.given {
		f.pool.give(old)
	}
}

// release gives the buffer back.
func (f *frames) release() {
	if !f.given {
		f.pool.give(f.buffer)
	}
	f.ahead, f.buffer = nil, nil
}

// drop consumes n bytes that were looked at.
func (f *frames) drop(n int) {
	if f.buffer == nil {
		f.r.Discard(n) // cannot fail: it is buffered; and does not move what peek showed
		return
	}
	if f.ahead = f.ahead[n:]; len(f.ahead) == 0 {
		f.release()
	}
}

// Read gives the rest of the current message, or begins the next: encoding/gob
// asks for no more than it needs.
func (f *frames) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if f.left == 0 {
		if err := f.enter(); err != nil {
			return 0, err
		}
	}
	p = p[:min(len(p), f.left)]
	if len(f.ahead) > 0 {
		n := copy(p, f.ahead)
		f.left -= n
		f.drop(n)
		return n, nil
	}
	n, err := f.r.Read(p)
	f.left -= n
	if err != nil && f.left > 0 {
		return n, f.fail(unexpected(err))
	}
	return n, nil
}

// ReadByte is for encoding/gob, which would put a buffer of its own in front of a
// reader without it.
func (f *frames) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(f, b[:])
	return b[0], err
}

// broken reports whether a failed decoding leaves the stream where nobody knows
// what comes next.
func (f *frames) broken() bool { return f.err != nil || f.left > 0 || f.definition }

func (f *frames) fail(err error) error {
	if f.err == nil {
		f.err = err
	}
	return err
}

// unexpected is for an end within a message.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
