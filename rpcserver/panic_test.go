package rpcserver_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

func TestWhatPanicsFailsThatCallOnly(t *testing.T) {
	var log syncBuffer
	s, addr := serve(t, rpcserver.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	client := dial(t, addr)
	for _, c := range []struct {
		method string
		args   any
		reply  any
		want   string
	}{
		{"Arith.Panic", "ouch", new(int), "rpcserver: panic in Arith.Panic: ouch"},
		{"Arith.Nil", 1, new(int), "nil pointer dereference"},
		{"Arith.Exit", 1, new(int), "ended its goroutine without an answer"},
		{"Arith.BadError", 1, new(int), "nil pointer dereference"},
		{"Arith.Explode", 1, new(Bomb), "encoding panicked: bomb encoded"},
		{"Arith.Unknown", 1, new(Any), "encoding the reply of Arith.Unknown"},
		{"Arith.Defuse", evil{}, new(int), "decoding panicked: bomb decoded"},
	} {
		for range 2 {
			wantError(t, client.Call(c.method, c.args, c.reply), c.want)
			var n int
			if err := client.Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
				t.Fatalf("after %s: %d, %v", c.method, n, err)
			}
		}
	}
	if got := s.Stats().Panics; got != 8 {
		t.Errorf("%d panics counted, want 8", got)
	}
	if !strings.Contains(log.String(), "(*Arith).Nil") {
		t.Error("no stack in the log")
	}
}

// evil is a Bomb on the wire that goes off when it is decoded.
type evil struct{}

func (evil) GobEncode() ([]byte, error) { return []byte{2}, nil }

// The reply's type is defined on the wire although the reply that defined it
// failed: the next good one would not be understood otherwise.
func TestReplyTypeSurvivesAFailedReply(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{}, &Moody{})
	client := dial(t, addr)
	wantError(t, client.Call("Moody.Reply", true, new(Mood)), "not today")
	var m Mood
	if err := client.Call("Moody.Reply", false, &m); err != nil || m.Inner.Name != "good" {
		t.Fatalf("%+v, %v", m, err)
	}
}

// Moody has replies that can be encoded, and others.
type Moody struct{}

// Mood has a part that may refuse.
type Mood struct {
	Inner struct{ Name string }
	Part  Refusing
}

// Refusing refuses to be encoded.
type Refusing struct{ No bool }

// GobEncode is gob.GobEncoder.
func (r Refusing) GobEncode() ([]byte, error) {
	if r.No {
		return nil, errors.New("not today")
	}
	return []byte{1}, nil
}

// GobDecode is gob.GobDecoder.
func (r *Refusing) GobDecode([]byte) error { return nil }

// Reply has a reply that cannot be encoded if it is told so.
func (*Moody) Reply(no bool, reply *Mood) error {
	reply.Inner.Name = "good"
	reply.Part.No = no
	return nil
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
