package rpcwire

import (
	"math"
	"net/rpc"
	"strconv"
	"strings"
)

const (
	// PingMethod is called to learn whether the other end is alive.
	PingMethod = "_rollcall.Ping"
	// CancelMethod is called, without an answer, to give a request up.
	CancelMethod = "_rollcall.Cancel"
	// NoticeMethod is the method of a notice that ends a connection.
	NoticeMethod = "_rollcall.Drain"
	// NoticeSeq is the sequence number of all notices. No request has it.
	NoticeSeq = math.MaxUint64

	drain  = "drain "
	retire = "retire "
	busy   = "busy"
)

// Drain is the notice of a server that shuts down: it has not accepted the requests
// after last, and will not.
func Drain(last uint64) rpc.Response { return end(drain, last) }

// Retire is the notice of a server that ends this connection only.
func Retire(last uint64) rpc.Response { return end(retire, last) }

func end(word string, last uint64) rpc.Response {
	return rpc.Response{ServiceMethod: NoticeMethod, Seq: NoticeSeq, Error: word + strconv.FormatUint(last, 10)}
}

// Busy is the notice of a server that reads no requests for the moment, so that it
// answers no pings.
func Busy() rpc.Response {
	return rpc.Response{ServiceMethod: PingMethod, Seq: NoticeSeq, Error: busy}
}

// An End is what Drain and Retire say.
type End struct {
	Last  uint64 // requests after this one were not accepted
	Alone bool   // the server goes on: it was Retire
}

// ParseEnd reads a response with NoticeSeq. It is not ok if the response is another
// notice, or one that cannot be understood: then it says nothing.
func ParseEnd(resp *Response) (e End, ok bool) {
	if resp.ServiceMethod != NoticeMethod {
		return e, false
	}
	text, ok := strings.CutPrefix(resp.Error, drain)
	if !ok {
		e.Alone = true
		if text, ok = strings.CutPrefix(resp.Error, retire); !ok {
			return e, false
		}
	}
	var err error
	e.Last, err = strconv.ParseUint(text, 10, 64)
	return e, err == nil
}
