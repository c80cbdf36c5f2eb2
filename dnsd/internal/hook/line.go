package hook

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// farewell is how long a client may take to close after the last event. To close while
// it still sends would reset the connection, and the reset can overtake the event.
const farewell = time.Second

// line is the connection to the client of a hold. wait, send and close belong to one
// goroutine; wake may be called by any.
type line interface {
	// open sends the header and the first bytes of the answer.
	open(x *exchange, first ...[]byte) error
	// wait waits until the client has sent something (true), or until the given time or
	// a call of wake (false). An error means that the connection broke.
	wait(until time.Time) (came bool, err error)
	send(timeout time.Duration, b []byte) error
	wake()
	// acknowledged says whether the peer's host has acknowledged what was sent this long
	// ago. It is true where the kernel does not tell.
	acknowledged(while time.Duration) bool
	// close ends the line; inOrder: after the last event was sent.
	close(inOrder bool)
}

// line takes the connection over from net/http if that is possible: net/http keeps
// several times the memory that a hold needs. A request of HTTP/2, where one connection
// has many requests, stays in its handler.
func (x *exchange) line(beats bool, lease time.Duration) (l line, own bool) {
	control := http.NewResponseController(x.w)
	if x.r.ProtoMajor == 1 {
		if c, buffered, err := control.Hijack(); err == nil {
			giveUpAfter(c, lease)
			return &ownLine{conn: c, early: buffered.Reader.Buffered() > 0}, true
		}
		_ = control.EnableFullDuplex()
	}
	_ = control.SetReadDeadline(time.Time{})
	s := &sharedLine{
		x: x, control: control, beats: beats,
		socket: socketOf(x.r),
		came:   make(chan struct{}, 1),
		woken:  make(chan struct{}, 1),
		broken: make(chan struct{}),
	}
	if beats {
		go s.read()
	}
	return s, false
}

// ownLine is a connection of HTTP/1 that carries this one answer.
type ownLine struct {
	conn  net.Conn
	early bool // something arrived before the connection was taken over

	mu    sync.Mutex // guards woken, and orders the read deadlines
	woken bool
}

// aLongTimeAgo is a deadline that ends a read at once.
var aLongTimeAgo = time.Unix(1, 0)

func (l *ownLine) open(x *exchange, first ...[]byte) error {
	x.w.status = http.StatusOK
	h := x.w.Header()
	streamHeader(h)
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close") // the end of the connection is the end of the answer
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&b)
	b.WriteString("\r\n")
	for _, p := range first {
		b.Write(p)
	}
	return l.send(x.s.times.write, b.Bytes())
}

func (l *ownLine) wait(until time.Time) (came bool, err error) {
	l.mu.Lock()
	if l.woken {
		l.woken = false
		l.mu.Unlock()
		return false, nil
	}
	_ = l.conn.SetReadDeadline(until)
	l.mu.Unlock()
	if l.early {
		l.early = false
		return true, nil
	}
	var b [64]byte // the content has no meaning: chunks of heartbeats
	_, err = l.conn.Read(b[:])
	if err == nil {
		return true, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.mu.Lock()
		l.woken = false
		l.mu.Unlock()
		return false, nil
	}
	return false, err
}

func (l *ownLine) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.woken = true
	_ = l.conn.SetReadDeadline(aLongTimeAgo)
}

func (l *ownLine) send(timeout time.Duration, b []byte) error {
	_ = l.conn.SetWriteDeadline(time.Now().Add(timeout))
	_, err := l.conn.Write(b)
	return err
}

// acknowledged: nothing else is sent over this connection.
func (l *ownLine) acknowledged(time.Duration) bool { return unacknowledged(l.conn) == 0 }

func (l *ownLine) close(inOrder bool) {
	half, ok := l.conn.(interface{ CloseWrite() error })
	if inOrder && ok && half.CloseWrite() == nil {
		_ = l.conn.SetReadDeadline(time.Now().Add(farewell))
		_, _ = io.Copy(io.Discard, io.LimitReader(l.conn, 64<<10))
	}
	_ = l.conn.Close()
}

// sharedLine is a hold that stays in its handler.
type sharedLine struct {
	x       *exchange
	control *http.ResponseController
	socket  net.Conn
	beats   bool // the body is heartbeats, which read reads
	came    chan struct{}
	woken   chan struct{}
	broken  chan struct{}
	stream  *stream
}

// read reports that the client has sent something, until the body or the handler ends.
func (l *sharedLine) read() {
	defer close(l.broken)
	b := make([]byte, 64)
	for {
		n, err := l.x.r.Body.Read(b)
		if n > 0 {
			select {
			case l.came <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *sharedLine) open(x *exchange, first ...[]byte) (err error) {
	l.stream, err = x.begin(first...)
	return err
}

func (l *sharedLine) wait(until time.Time) (came bool, err error) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-l.came:
		return true, nil
	case <-l.woken:
		return false, nil
	case <-timer.C:
		return false, nil
	case <-l.broken:
	case <-l.x.r.Context().Done():
	}
	return false, io.ErrUnexpectedEOF
}

func (l *sharedLine) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

func (l *sharedLine) send(_ time.Duration, b []byte) error { return l.stream.send(b) }

// acknowledged: other requests of the connection may have sent just now, so it is enough
// that the host acknowledged something since this hold last sent.
func (l *sharedLine) acknowledged(while time.Duration) bool {
	return unacknowledged(l.socket) == 0 || lastHeard(l.socket) < while*3/4
}

// close ends read: the end of the handler would wait for it.
func (l *sharedLine) close(bool) {
	if l.beats && l.control.SetReadDeadline(aLongTimeAgo) == nil {
		<-l.broken
	}
}

// Tests: heartbeat_test.go, hold_test.go, holdcost_test.go.
