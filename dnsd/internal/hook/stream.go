package hook

import (
	"bufio"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// stream writes server-sent events (WHATWG HTML section 9.2). Every write has a
// deadline: a reader that does not read must not keep memory here.
type stream struct {
	w       *response
	control *http.ResponseController
	timeout time.Duration
	bursts  *sync.Pool
}

// begin sends the header and the first bytes. X-Accel-Buffering asks nginx not to
// buffer the answer.
func (x *exchange) begin(first ...[]byte) (*stream, error) {
	s := &stream{w: x.w, control: http.NewResponseController(x.w), timeout: x.s.times.write, bursts: &x.s.bursts}
	streamHeader(x.w.Header())
	x.w.WriteHeader(http.StatusOK)
	return s, s.send(first...)
}

func streamHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
}

// burst is how many bytes of a batch of events are in memory at one time, for each
// reader that does not read at the moment.
const burst = 8 << 10

// send writes and flushes. Many parts are written in bursts.
func (s *stream) send(parts ...[]byte) error {
	if len(parts) == 1 {
		return s.flush(parts[0])
	}
	buf := s.bursts.Get().(*bufio.Writer)
	defer s.bursts.Put(buf)
	buf.Reset(writerFunc(func(p []byte) (int, error) { return len(p), s.write(p) }))
	defer buf.Reset(nil)
	for _, p := range parts {
		if _, err := buf.Write(p); err != nil {
			return err
		}
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *stream) write(p []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout)) // a recorder has none
	_, err := s.w.Write(p)
	return err
}

func (s *stream) flush(p []byte) error {
	if err := s.write(p); err != nil {
		return err
	}
	return s.control.Flush()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// comment is a line that a client ignores; it keeps proxies from closing the stream.
func comment(text string) []byte { return []byte(": " + text + "\n\n") }

// frame is one event without an id: it does not change the client's Last-Event-ID.
func frame(name string, data any) []byte { return appendFrame(nil, name, data) }

// frameAt is one event whose id is a position in the history.
func frameAt(at registry.Position, name string, data any) []byte {
	b := at.Append([]byte("id: "))
	return appendFrame(append(b, '\n'), name, data)
}

func appendFrame(b []byte, name string, data any) []byte {
	body, err := json.Marshal(data) // one line: JSON escapes newlines
	if err != nil {
		body = []byte("{}") // our own structs always marshal
	}
	b = append(append(b, "event: "...), name...)
	b = append(append(b, "\ndata: "...), body...)
	return append(b, "\n\n"...)
}

// ending is the data of the event "end", the last one of a stream.
type ending struct {
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// The reasons of an end. The detail says what to do.
const (
	endShutdown   = "shutdown"
	endRevoked    = "revoked"
	endSlow       = "slow"
	endCompacted  = "compacted"
	endReplaced   = "replaced"
	endGone       = "gone"
	endSuperseded = "superseded"
	endAgain      = "again"
)

var endDetails = map[string]string{
	endShutdown:   "dnsd is stopping: come again in a moment",
	endRevoked:    "the token or certificate no longer allows this: come again with another",
	endSlow:       "this reader fell too far behind: come again with the last id seen",
	endCompacted:  "the history is gone: watch again without since",
	endReplaced:   "a newer incarnation is registered under this id: stop, or register under another id",
	endGone:       "the instance was deregistered, or its lease ended: PUT it to come back",
	endSuperseded: "another hold of the same instance has begun",
	endAgain:      "a hold without heartbeats ends after 5 minutes, or after two leases if that is longer: PUT, then hold again",
}

// end sends the reason of the end. An error of the write is ignored: the stream ends.
func (s *stream) end(reason string) {
	_ = s.send(frame("end", ending{reason, endDetails[reason]}))
}

// Tests: pieces_test.go, watch_test.go.
