package history_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/testenv/history"
)

// A server is one dnsd, with its store in memory: another life begins with each start.
type server struct {
	zone dnsd.Zone
	dir  string // for what keeps revisions from being given out twice
	stop func()
}

// newServer is a server that is not started. It keeps its addresses.
func newServer(t *testing.T) *server {
	addrs := freeaddr.Take(2)
	return &server{dir: t.TempDir(), zone: dnsd.Zone{Bind: []string{addrs[0].String()}, Hook: dnsd.Hook{Addr: addrs[1].String()}}}
}

func (s *server) start(t *testing.T) {
	t.Helper()
	d, err := dnsd.New(dnsd.Config{Zones: []dnsd.Zone{s.zone}, StateDir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestHistoryOfOneDnsdIsRight(t *testing.T) {
	s := newServer(t)
	s.zone.Transfer.To = []dnsd.Secondary{{Addr: "127.0.0.1/32"}}
	s.start(t)
	defer func() { s.stop() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rec, err := history.Start(ctx, history.Config{
		Hooks: []string{"http://" + s.zone.Hook.Addr}, DNS: s.zone.Bind, IDs: 4, Pause: time.Millisecond,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return struct{ net.Conn }{c}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.AwaitWrites(ctx, 0, 300); err != nil {
		t.Fatal(err)
	}
	if err := rec.Restore(ctx, func() {
		s.stop()
		s.start(t)
	}); err != nil {
		t.Fatal(err)
	}
	if err := rec.AwaitWrites(ctx, -1, 300); err != nil {
		t.Fatal(err)
	}
	h, err := rec.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	for _, k := range []history.Kind{history.Register, history.Renew, history.Deregister, history.Drain, history.Undrain, history.Read, history.List, history.Query} {
		if h.Count(history.Done, -1, k) == 0 {
			t.Errorf("no %v was done", k)
		}
		if n := h.Count(history.Unknown, -1, k) + h.Count(history.Refused, -1, k); n > 0 {
			t.Errorf("%d of %v were not done", n, k)
		}
	}
	if len(h.Transfers) < 3 || len(h.Streams) != 2 || len(h.Finals) != 1 || h.Lives != 2 {
		t.Errorf("%d transfers, %d streams, %d finals, %d lives", len(h.Transfers), len(h.Streams), len(h.Finals), h.Lives)
	}
}

// TestUnansweredRequestsAreUnknown: a request that may have arrived is not refused.
func TestUnansweredRequestsAreUnknown(t *testing.T) {
	s := newServer(t)
	s.start(t)
	defer func() { s.stop() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var deaf, cut atomic.Bool
	failed := make(chan struct{}, 1) // has a value after a connection that failed
	fail := func() {
		select {
		case failed <- struct{}{}:
		default:
		}
	}
	rec, err := history.Start(ctx, history.Config{
		Hooks: []string{"http://" + s.zone.Hook.Addr}, Pause: time.Millisecond,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if cut.Load() {
				fail()
				return nil, &net.OpError{Op: "dial", Err: errors.New("cut")}
			}
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return deafConn{c, &deaf, fail}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	await := func(n int) {
		t.Helper()
		if err := rec.AwaitWrites(ctx, -1, n); err != nil {
			t.Fatal(err)
		}
	}
	inVain := func() { // most are requests of clients, and a good third of those register
		t.Helper()
		for range 60 {
			select {
			case <-failed:
			case <-ctx.Done():
				t.Fatal(ctx.Err())
			}
		}
	}
	await(50)
	deaf.Store(true)
	inVain()
	cut.Store(true)
	deaf.Store(false)
	inVain()
	cut.Store(false)
	await(50)
	h, err := rec.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if h.Count(history.Unknown, -1, history.Register) == 0 || h.Count(history.Refused, -1, history.Register) == 0 {
		t.Errorf("%d unknown, %d refused", h.Count(history.Unknown, -1, history.Register), h.Count(history.Refused, -1, history.Register))
	}
	if err := h.Check(); err != nil {
		t.Error(err)
	}
}

// deafConn loses answers: the connection breaks before them.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
	fail func()
}

func (c deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.deaf.Load() {
		c.fail()
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}
