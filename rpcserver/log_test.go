package rpcserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// TestPaceOfTheLog: the first lines of each second, and how many were left out.
func TestPaceOfTheLog(t *testing.T) {
	var p pace
	begin := time.Now()
	for _, step := range []struct {
		after time.Duration
		ok    bool
		left  int
	}{
		{0, true, 0},
		{0, true, 0},
		{time.Millisecond, false, 0},
		{999 * time.Millisecond, false, 0},
		{time.Second, true, 2},
		{time.Second, true, 0},
		{time.Second, false, 0},
		{time.Minute, true, 1},
	} {
		if left, ok := p.next(2, begin.Add(step.after)); ok != step.ok || left != step.left {
			t.Errorf("after %v: %v, %d left out; want %v, %d", step.after, ok, left, step.ok, step.left)
		}
	}
}

// unlocked is a Logger's handler that looks whether a connection is locked.
type unlocked struct {
	slog.Handler
	conn  *conn
	lines []string
}

func (u *unlocked) Enabled(context.Context, slog.Level) bool { return true }

func (u *unlocked) Handle(_ context.Context, r slog.Record) error {
	if u.conn.out.mu.TryLock() {
		u.conn.out.mu.Unlock()
		u.lines = append(u.lines, r.Message)
	}
	return nil
}

// mute is a wire that cannot write.
type mute struct{ wire }

func (mute) respond(*rpcwire.Response, any) error { return errors.New("mute") }
func (mute) drains() bool                         { return true }
func (mute) spent() bool                          { return false }

// TestLinesAboutAnswersAreWrittenUnlocked: the Logger may take its time while other calls
// answer.
func TestLinesAboutAnswersAreWrittenUnlocked(t *testing.T) {
	var u unlocked
	s := New(Config{Logger: slog.New(&u)})
	for message, cause := range map[string]func(*conn){
		"a notice cannot be sent": func(c *conn) { c.sendDrain(0) },
		"reply cannot be encoded": func(c *conn) {
			c.inflight.Add(1)
			c.finish((&method{arg: reflect.TypeFor[int]()}).newCall(c, 1), 1)
		},
	} {
		near, far := net.Pipe()
		far.Close()
		u.conn, u.lines = newConn(s, near), nil
		u.conn.wire = mute{u.conn.wire}
		cause(u.conn)
		if !slices.Equal(u.lines, []string{message}) {
			t.Errorf("unlocked: %q, want %q", u.lines, message)
		}
		near.Close()
	}
}
