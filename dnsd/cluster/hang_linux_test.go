package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// hang stops the process, until the test ends.
func (p *process) hang(t *testing.T) {
	t.Helper()
	p.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { p.Signal(syscall.SIGCONT) })
	await(t, func() bool { // the signal takes its time
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		return err == nil && strings.HasPrefix(state, "T")
	})
}

// TestAServerThatHangsIsLeft: a process that is stopped keeps its connections.
func TestAServerThatHangsIsLeft(t *testing.T) {
	hangs, works := startProcess(t), startProcess(t)
	s := hangs.open(t, func(s *dnsd.SharedStore) { s.Endpoints = append(s.Endpoints, works.url) })
	must(t, s, put("where", "hangs"))
	must(t, works.open(t), put("where", "works"))
	w := s.Watch(t.Context(), "where", 0)
	defer w.Close()
	if _, err := w.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KeepAlive(t.Context(), l.ID); err != nil {
		t.Fatal(err)
	}
	hangs.hang(t)

	if _, err := s.Txn(soon(t, patience/4), put("where", "?")); !errors.Is(err, kv.ErrUncertain) {
		t.Errorf("a write: %v", err)
	}
	began := time.Now()
	p, _, err := s.Get(t.Context(), "where")
	if err != nil || string(p.Value) != "works" {
		t.Fatalf("a read: %+v, %v", p, err)
	}
	if d := time.Since(began); d > 10*patience {
		t.Errorf("it took %v", d)
	}
	if _, err := w.Next(soon(t, time.Minute)); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("the watch: %v", err)
	}
	// The two are no cluster, so the lease is unknown to the other one.
	if err := s.KeepAlive(t.Context(), l.ID); !errors.Is(err, kv.ErrLeaseGone) {
		t.Errorf("the lease: %v", err)
	}
}

func TestEveryCallEndsWithItsContextWhileTheServerHangs(t *testing.T) {
	e := startProcess(t)
	s := e.open(t)
	l, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	e.hang(t)
	for name, call := range map[string]func(context.Context) error{
		"get":    func(ctx context.Context) error { _, _, err := s.Get(ctx, "a"); return err },
		"range":  func(ctx context.Context) error { _, err := s.Range(ctx, "a", 0, nil); return err },
		"txn":    func(ctx context.Context) error { _, err := s.Txn(ctx, put("a", "1")); return err },
		"grant":  func(ctx context.Context) error { _, err := s.Grant(ctx, time.Minute); return err },
		"keep":   func(ctx context.Context) error { return s.KeepAlive(ctx, l.ID) },
		"revoke": func(ctx context.Context) error { return s.Revoke(ctx, l.ID) },
		"watch": func(ctx context.Context) error {
			w := s.Watch(ctx, "a", 0)
			defer w.Close()
			_, err := w.Next(ctx)
			return err
		},
		"status": func(ctx context.Context) error { return errors.New(s.Status(ctx).Error) },
	} {
		began := time.Now()
		err := call(soon(t, 100*time.Millisecond))
		if d := time.Since(began); err == nil || err.Error() == "" || d > 10*patience { // a busy machine needs some of it
			t.Errorf("%s: %v after %v", name, err, d)
		}
	}
}
