package rpcwire

import (
	"fmt"
	"net/rpc"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// Request reads the header of a request into h. io.EOF is an end between two requests.
func (d *Reader) Request(h *Header) error {
	if err := d.next(); err != nil {
		return err
	}
	*h = Header{}
	value, long := d.byHand()
	switch {
	case long && parseLongRequest(value, h):
		h.bound()
		if d.large() {
			d.name, d.meta = append(d.name[:0], h.Method...), append(d.meta[:0], h.Meta...)
			h.Method, h.Meta = d.name, d.meta
		}
		return d.parsed()
	case long:
		*h = Header{}
	case value != nil:
		name, seq, ok := parseRequest(value)
		if ok {
			h.Method, h.Seq = name, seq
			h.bound()
			d.end()
			return nil
		}
	}
	d.req = rpc.Request{}
	var more requestFields
	misfit, err := d.decodeHeader(&d.req, &more)
	if err != nil {
		return err
	}
	name := d.req.ServiceMethod
	d.name = append(d.name[:0], name[:min(len(name), maxMethod+1)]...) // it is kept
	d.req.ServiceMethod = ""
	h.Method, h.Seq = d.name, d.req.Seq
	if h.set(&more); misfit != nil {
		h.Refused = fmt.Errorf("the header of the request does not fit: %v", misfit)
	}
	h.bound()
	return nil
}

// Response reads the header of a response into resp. The method is left out, except of
// a notice: nothing needs it.
func (d *Reader) Response(resp *Response) error {
	if err := d.next(); err != nil {
		return err
	}
	*resp = Response{}
	value, long := d.byHand()
	if long {
		if method, ok := parseLongResponse(value, resp); ok {
			if resp.Seq == NoticeSeq {
				resp.ServiceMethod = string(method)
			}
			return d.parsed()
		}
		*resp = Response{}
	} else if value != nil {
		if r, ok := parseResponse(value); ok {
			resp.Seq = r.seq
			if len(r.err) > 0 {
				resp.Error = string(r.err)
			}
			if r.seq == NoticeSeq {
				resp.ServiceMethod = string(r.method)
			}
			d.end()
			return nil
		}
	}
	var plain rpc.Response
	var more responseFields
	misfit, err := d.decodeHeader(&plain, &more)
	if err != nil {
		return err
	}
	resp.ServiceMethod, resp.Seq, resp.Error = plain.ServiceMethod, plain.Seq, plain.Error
	if misfit == nil {
		resp.set(&more)
	}
	return nil
}

// byHand is the value without its type id, if it is a header that can be read without
// encoding/gob; else nil. A long one is read by hand from the first one on, so that nothing
// is made of what is beyond the bounds.
func (d *Reader) byHand() (value []byte, long bool) {
	message := d.first()
	u, n := gobvalue.ReadUint(message)
	id := gobvalue.ToInt(u)
	if d.header != 0 && id == d.header {
		if len(d.definitions) > 0 || d.large() {
			return nil, false // encoding/gob must see definitions; and the name must stay when the value ends
		}
		return message[n:], false
	}
	if d.long == 0 && d.guard.Struct(id, d.isLong...) {
		d.long = id
	}
	if d.long != 0 && id == d.long {
		return message[n:], true
	}
	return nil, false
}

// parsed ends a long header that was read by hand. encoding/gob still sees definitions.
func (d *Reader) parsed() error {
	if len(d.definitions) == 0 {
		d.end()
		return nil
	}
	_, broken := d.decode(nil)
	return broken
}

// decodeHeader has encoding/gob decode a header, first as net/rpc has it, and then with the
// fields of the long form, if there is any that net/rpc does not know. misfit means that
// only these do not fit.
func (d *Reader) decodeHeader(plain, long any) (misfit, broken error) {
	u, _ := gobvalue.ReadUint(d.first())
	more := gobvalue.ToInt(u) != d.header && !d.Loose()
	bad, broken := d.try(plain)
	if broken == nil && bad != nil {
		broken = d.fail(fmt.Errorf("header: %v", bad)) // whose io.EOF is not ours
	}
	if broken == nil && more {
		d.read = 0
		misfit, broken = d.try(long)
	}
	if broken == nil {
		d.end()
	}
	return misfit, broken
}

// Tests: long_test.go, longread_test.go, reader_test.go.
