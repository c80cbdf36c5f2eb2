package rpcwire

import (
	"io"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// input reads messages whole. Small ones are read into a buffer that stays with the
// connection, many at once. A large one has a buffer for itself.
type input struct {
	r     io.Reader
	limit int // bytes of a value
	pool  *Buffers
	claim func(bytes int) error // waits until there may be so much memory for a large buffer; nil: there may

	small    []byte
	buf      []byte // small, or a large one
	pos, end int    // buf[pos:end] was read, and is not used up
	own      bool   // buf is large and for one value, which may keep a part of it
	keeps    int    // how many such values in a row did, or would have
	err      error  // what ended the stream
}

// ahead is how many times what has come of a message there is memory for: a peer that
// sends a length and little more costs that.
const ahead = 8

// trusted is the length that a server is believed after two large replies in a row: the
// buffer is then made at once.
const trusted = 1 << 20

func (in *input) fail(err error) error {
	if in.err == nil {
		in.err = err
	}
	return in.err
}

// Buffered is how many bytes were read and are not used up.
func (in *input) Buffered() int { return in.end - in.pos }

// bytes are from and to the given offsets from the present place. They are valid until
// more is read.
func (in *input) bytes(from, to int) []byte { return in.buf[in.pos+from : in.pos+to] }

// large reports whether buf is a large one.
func (in *input) large() bool { return len(in.buf) > SmallBuffer }

// message reads the message that begins so many bytes after the present place, up to
// which all stays in memory. It returns the size of its length, and its whole size.
// io.EOF is an end at the present place.
func (in *input) message(after int) (prefix, size int, err error) {
	if err := in.fill(after+1, after); err != nil {
		return 0, 0, err
	}
	if b := in.buf[in.pos+after]; b > 0x7f { // a length of several bytes
		n := -int(int8(b))
		if n > 8 {
			return 0, 0, in.fail(errNotGob)
		}
		if err := in.fill(after+1+n, after); err != nil {
			return 0, 0, unexpected(err)
		}
	}
	n, prefix := gobvalue.ReadUint(in.buf[in.pos+after : in.end])
	if n == 0 {
		return 0, 0, in.fail(errNotGob)
	}
	if n > uint64(in.limit-min(after, in.limit)) {
		return 0, 0, in.fail(&LargeError{n, uint64(in.limit)})
	}
	size = prefix + int(n)
	if err := in.fill(after+size, after); err != nil {
		return 0, 0, unexpected(err)
	}
	return prefix, size, nil
}

// fill reads until size bytes are there. The buffer grows with what has come, not with
// what a length promises. after is where the last message of those bytes begins.
func (in *input) fill(size, after int) error {
	for in.end-in.pos < size {
		if in.pos+size > len(in.buf) {
			if err := in.room(size, after > 0); err != nil {
				return in.fail(err)
			}
		}
		n, err := in.r.Read(in.buf[in.end:])
		in.end += n
		if err != nil && in.end-in.pos < size {
			if err == io.EOF && in.end > in.pos {
				err = io.ErrUnexpectedEOF
			}
			return in.fail(err)
		}
	}
	return nil
}

// room makes room for more bytes of a value of at least size bytes. If it is the only
// message of the value, a large buffer ends with it, so that nothing else is read there.
func (in *input) room(size int, several bool) error {
	have := in.end - in.pos
	if size <= SmallBuffer {
		if in.small == nil {
			in.small = make([]byte, SmallBuffer)
		}
		old := in.buf
		in.end = copy(in.small, in.buf[in.pos:in.end])
		in.pos = 0
		if in.buf = in.small; cap(old) > SmallBuffer && !in.own {
			in.pool.Give(old)
		}
		in.own = false
		return nil
	}
	if in.large() && in.end < len(in.buf) {
		return nil
	}
	most := size
	if several {
		most = max(size, 2*have)
	}
	least := 2 * SmallBuffer
	if in.claim == nil && in.keeps > 1 {
		least = trusted
	}
	next := max(have+1, min(most, max(ahead*have, least)))
	if in.claim != nil {
		if err := in.claim(next); err != nil {
			return err
		}
	}
	old, own := in.buf, in.own
	in.own = !several && in.keeps > 1 // not where such values come in turn with others
	if in.own || next < LargeBuffer {
		in.buf = make([]byte, next)
	} else {
		in.buf = in.pool.Take(next)[:next]
	}
	in.end = copy(in.buf, old[in.pos:in.end])
	in.pos = 0
	if cap(old) > SmallBuffer && !own {
		in.pool.Give(old)
	}
	return nil
}

// drop uses n bytes up. A large buffer is given back as soon as what is left is small.
func (in *input) drop(n int) {
	in.pos += n
	if in.large() && in.end-in.pos <= SmallBuffer {
		in.room(in.end-in.pos, false)
	}
	if in.pos == in.end {
		in.pos, in.end = 0, 0
	}
}

// unexpected is for an end within a request or a response.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Tests: reader_test.go.
