package push

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Wire is the connection of a session, below its TLS if it has that. Until Serve takes it over
// it is the connection that it was made of. From then on it waits for no client. Write sends
// what the system takes and keeps the rest, for drain, which waits; so package tls may write
// with any lock held, also on its own: answers to KeyUpdate, alerts, and its last record. What
// it writes stays in order. Read returns what there is; await waits for it.
//
// A Wire of a connection that is not a socket keeps all that is written, and the first Read after
// await waits.
type Wire struct {
	net.Conn
	raw  syscall.RawConn // for calls that do not wait; nil: it is not a socket
	live bool            // Serve has taken it over. Set before a session's goroutines begin
	due  bool            // the next Read may wait. The reader's own, and only without raw

	mu    sync.Mutex // guards what follows. The last lock of all: package tls has its own when it writes
	rest  []byte     // what comes after flown
	flown int        // octets that drain writes now
}

// mostRest is more than there is to keep: what one flush makes (nextLocked: answers of
// mostOut, a largest one, and what TLS adds), after as much of TLS's own as the reader lets
// wait (awaitRoom).
const mostRest = 256 << 10

var errRest = errors.New("the client makes the server write and does not read")

// NewWire returns the Wire of a connection that may become a session.
func NewWire(c net.Conn) *Wire { return &Wire{Conn: c, raw: rawConn(c)} }

func (w *Wire) Write(p []byte) (int, error) {
	if !w.live {
		return w.Conn.Write(p)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	if w.leftLocked() == 0 && w.raw != nil {
		var err error
		if n, err = writeNow(w.raw, p); err != nil {
			return n, err
		}
	}
	if n < len(p) {
		if w.leftLocked()+len(p)-n > mostRest {
			return n, errRest
		}
		w.rest = append(w.rest, p[n:]...)
	}
	return len(p), nil
}

// left is how many octets were written and wait for the client.
func (w *Wire) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leftLocked()
}

func (w *Wire) leftLocked() int { return w.flown + len(w.rest) }

// drain writes what is kept. The client has writeTime for each part of it. Only the writer of
// the session calls it.
func (w *Wire) drain() error {
	for {
		p := w.take()
		if len(p) == 0 {
			// No timer is left behind.
			return w.Conn.SetWriteDeadline(time.Time{})
		}
		w.Conn.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := w.Conn.Write(p); err != nil {
			return err
		}
	}
}

// take returns what drain writes next. What it took before is written.
func (w *Wire) take() (p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, w.rest = w.rest, nil
	w.flown = len(p)
	return p
}

// Read returns os.ErrDeadlineExceeded if nothing has come: package tls goes on after that.
func (w *Wire) Read(p []byte) (int, error) {
	switch {
	case !w.live:
		return w.Conn.Read(p)
	case w.raw != nil:
		return readNow(w.raw, p)
	case !w.due:
		return 0, os.ErrDeadlineExceeded
	}
	w.due = false
	return w.Conn.Read(p)
}

// await returns when there is something to read, or the deadline has passed, or the connection
// is closed: Read tells which. It needs little stack, so that one of the smallest size is
// enough for a goroutine that waits in it. A Read of package tls would take four times as much.
func (w *Wire) await() {
	if w.due = w.raw == nil; !w.due {
		w.raw.Read(readable)
	}
}

// Tests: wire_test.go, slow_test.go.
