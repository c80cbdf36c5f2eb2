package rpcwire

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// Request is the header of a request that is written. With Timeout or Meta it takes the
// long form.
type Request struct {
	ServiceMethod string
	Seq           uint64
	Timeout       time.Duration // what is left now of the caller's time; 0: there is no end
	Meta          callmeta.Meta
}

// Header is the header of a request that was read.
type Header struct {
	Method  []byte // valid until the next call of a method of the Reader that reads
	Seq     uint64
	Timeout time.Duration // as in Request
	Meta    []byte        // for callmeta.Keep; valid as long as Method
	Refused error         // why the request must not be executed; nil: it may
}

// Response is the header of a response. With any of the last three fields it takes the long
// form. The client reads them as they are written, but a Wait of MaxWait at most.
type Response struct {
	ServiceMethod string
	Seq           uint64
	Error         string
	NotExecuted   bool          // the request was refused, and will not be executed
	Wait          time.Duration // how long the client should stay away; 0: nothing is said
	Knows         Knows         // in the answer to a ping
}

// Knows is what a server says that it understands, beyond net/rpc.
type Knows uint8

// KnowsCancel is the word for CancelMethod.
const KnowsCancel Knows = 1 << iota

// words are on the wire.
var words = []struct {
	bit  Knows
	word string
}{{KnowsCancel, "cancel"}}

// MaxWait bounds what a server can ask for: a wrong number must not keep clients away for
// hours.
const MaxWait = time.Minute

// The long forms, as they are defined on the wire.
type (
	requestFields struct {
		ServiceMethod string
		Seq           uint64
		Timeout       uint64 // microseconds
		Meta          []string
	}
	responseFields struct {
		ServiceMethod string
		Seq           uint64
		Error         string
		NotExecuted   bool
		Wait          uint64 // milliseconds
		Knows         []string
	}
)

var (
	longRequest = []gobvalue.Field{
		{Name: "ServiceMethod", ID: gobvalue.String},
		{Name: "Seq", ID: gobvalue.Uint},
		{Name: "Timeout", ID: gobvalue.Uint},
		{Name: "Meta", ID: gobvalue.Strings},
	}
	longResponse = []gobvalue.Field{
		{Name: "ServiceMethod", ID: gobvalue.String},
		{Name: "Seq", ID: gobvalue.Uint},
		{Name: "Error", ID: gobvalue.String},
		{Name: "NotExecuted", ID: gobvalue.Bool},
		{Name: "Wait", ID: gobvalue.Uint},
		{Name: "Knows", ID: gobvalue.Strings},
	}
)

// maxMethod bounds the name of a method in a request. Names that programs register are much
// shorter, and an answer to a method that does not exist has its name twice.
const maxMethod = 4 << 10

var (
	errHeader = errors.New("the header of the request cannot be understood after its number: it is not executed")
	errMethod = fmt.Errorf("the name of the method is longer than %d bytes", maxMethod)
)

func (r *Request) long() bool { return r.Timeout != 0 || r.Meta != callmeta.Meta{} }

func (r *Response) long() bool { return r.NotExecuted || r.Wait != 0 || r.Knows != 0 }

// units is how many units are left of d: at least one, since 0 says that there is no end.
func units(d, unit time.Duration) uint64 {
	if d == 0 {
		return 0
	}
	return uint64(max(1, d/unit))
}

// timeout reads what units gives. What does not fit is as good as no end.
func timeout(us uint64) time.Duration {
	if us > math.MaxInt64/uint64(time.Microsecond) {
		return math.MaxInt64
	}
	return time.Duration(us) * time.Microsecond
}

func wait(ms uint64) time.Duration {
	return time.Duration(min(ms, uint64(MaxWait/time.Millisecond))) * time.Millisecond
}

// forGob is what encoding/gob writes as the long form: a type named Request.
func (r *Request) forGob() any {
	type Request requestFields
	var pairs []string
	for k, v := range r.Meta.All() {
		pairs = append(pairs, k, v)
	}
	return &Request{r.ServiceMethod, r.Seq, units(r.Timeout, time.Microsecond), pairs}
}

func (r *Response) forGob() any {
	type Response responseFields
	var knows []string
	for _, w := range words {
		if r.Knows&w.bit != 0 {
			knows = append(knows, w.word)
		}
	}
	return &Response{r.ServiceMethod, r.Seq, r.Error, r.NotExecuted, units(r.Wait, time.Millisecond), knows}
}

// bound refuses a request with a name that is too long, and cuts the name.
func (h *Header) bound() {
	if len(h.Method) > maxMethod {
		h.Method, h.Refused = h.Method[:64], errMethod
	}
}

// set takes the fields that only the long form has from what encoding/gob has read.
func (h *Header) set(f *requestFields) {
	h.Timeout = timeout(f.Timeout)
	m, err := callmeta.Of(f.Meta)
	h.Meta, h.Refused = m.Append(nil), err
}

func (r *Response) set(f *responseFields) {
	r.NotExecuted, r.Wait = f.NotExecuted, wait(f.Wait)
	for _, word := range f.Knows {
		r.Knows |= known(word)
	}
}

// known is 0 for a word of a newer server.
func known[T string | []byte](word T) Knows {
	for _, w := range words {
		if string(word) == w.word {
			return w.bit
		}
	}
	return 0
}

// message writes the fields of a header that are not zero, as encoding/gob does.
type message struct {
	b     []byte
	begin int
	last  int // the last field written
}

func begin(b []byte, id int64) message {
	// The length comes first and is not known: it often fits one byte.
	return message{gobvalue.AppendUint(append(b, 0), gobvalue.ToUint(id)), len(b), -1}
}

func (m *message) field(at int) {
	m.b = append(m.b, byte(at-m.last))
	m.last = at
}

func (m *message) uint(at int, x uint64) {
	if x != 0 {
		m.field(at)
		m.b = gobvalue.AppendUint(m.b, x)
	}
}

func (m *message) string(at int, s string) {
	if s != "" {
		m.field(at)
		m.b = gobvalue.AppendString(m.b, s)
	}
}

func (m *message) end() []byte { return gobvalue.SetLength(append(m.b, 0), m.begin, 1) }

// appendLongRequest is appendRequest for the long form. Any field may be zero.
func appendLongRequest(b []byte, id int64, r *Request) []byte {
	m := begin(b, id)
	m.string(0, r.ServiceMethod)
	m.uint(1, r.Seq)
	m.uint(2, units(r.Timeout, time.Microsecond))
	if r.Meta != (callmeta.Meta{}) {
		m.field(3)
		m.b = r.Meta.Append(m.b)
	}
	return m.end()
}

func appendLongResponse(b []byte, id int64, r *Response) []byte {
	m := begin(b, id)
	m.string(0, r.ServiceMethod)
	m.uint(1, r.Seq)
	m.string(2, r.Error)
	if r.NotExecuted {
		m.uint(3, 1)
	}
	m.uint(4, units(r.Wait, time.Millisecond))
	if r.Knows != 0 {
		m.field(5)
		m.b = append(m.b, 0)
		count := len(m.b) - 1
		for _, w := range words {
			if r.Knows&w.bit != 0 {
				m.b = gobvalue.AppendString(m.b, w.word)
				m.b[count]++
			}
		}
	}
	return m.end()
}
