package rpcwire

import (
	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// fields reads the fields of a header in its long form, one after the other.
type fields struct {
	b    []byte
	at   int  // the field that was read last; -1 at first
	bad  bool // what comes cannot be understood
	most int  // the number of the last field
}

// next goes to the next field that was sent; false: there is none.
func (f *fields) next() bool {
	if f.bad {
		return false
	}
	delta := f.uint()
	switch {
	case f.bad:
	case delta == 0:
		f.bad = len(f.b) > 0
	case delta > uint64(f.most-f.at):
		f.bad = true
	default:
		f.at += int(delta)
		return true
	}
	return false
}

func (f *fields) uint() uint64 {
	x, n := gobvalue.ReadUint(f.b)
	if n == 0 {
		f.bad = true
		return 0
	}
	f.b = f.b[n:]
	return x
}

func (f *fields) bytes() []byte {
	n := f.uint()
	if f.bad || n > uint64(len(f.b)) {
		f.bad = true
		return nil
	}
	s := f.b[:n]
	f.b = f.b[n:]
	return s
}

// parseLongRequest reads a Request in its long form: value is the message after its type id.
// Not ok: leave it to encoding/gob. A header that cannot be understood after the number
// of its request is one that must not be executed, and nothing more: its end is known.
func parseLongRequest(value []byte, h *Header) (ok bool) {
	f := fields{b: value, at: -1, most: len(longRequest) - 1}
	good := -1 // the last field that was read whole
	for ; f.next(); good = f.at {
		switch f.at {
		case 0:
			h.Method = f.bytes()
		case 1:
			h.Seq = f.uint()
		case 2:
			h.Timeout = timeout(f.uint())
		case 3:
			size, err := callmeta.Scan(f.b)
			if h.Refused = err; size == 0 {
				return true
			}
			if err == nil && size > 1 { // else there are no pairs
				h.Meta = f.b[:size]
			}
			f.b = f.b[size:]
		}
		if f.bad {
			break
		}
	}
	if f.bad && h.Refused == nil {
		h.Refused = errHeader
		return f.at > 1 || good == 1
	}
	return true
}

// parseLongResponse is parseLongRequest for a Response. Of one that cannot be understood
// after its error, the client takes what net/rpc's would.
func parseLongResponse(value []byte, r *Response) (method []byte, ok bool) {
	f := fields{b: value, at: -1, most: len(longResponse) - 1}
	var more Response
	for f.next() {
		switch f.at {
		case 0:
			method = f.bytes()
		case 1:
			r.Seq = f.uint()
		case 2:
			r.Error = string(f.bytes())
		case 3:
			more.NotExecuted = f.uint() != 0
		case 4:
			more.Wait = wait(f.uint())
		case 5:
			for n := f.uint(); n > 0 && !f.bad; n-- {
				more.Knows |= known(f.bytes())
			}
		}
		if f.bad {
			break
		}
	}
	if f.bad {
		return method, f.at > 2
	}
	r.NotExecuted, r.Wait, r.Knows = more.NotExecuted, more.Wait, more.Knows
	return method, true
}
