//go:build unix

package registry_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

const (
	stallEnv   = "ROLLCALL_STALL_CHILD"
	stall      = 2200 * time.Millisecond
	stallLease = 2 * time.Second // shorter than stall; a busy machine needs some of it
)

// TestStoppedProcessKeepsItsLeases: a process that was stopped for longer than a lease
// still has the instance when it continues, and removes it only after the rest of the
// lease. No fake clock can do that: the stop must take real time.
func TestStoppedProcessKeepsItsLeases(t *testing.T) {
	if os.Getenv(stallEnv) != "" {
		stallChild(t)
		return
	}
	t.Parallel()
	child := peertest.StartSelf(t, "child", stallEnv+"=1")
	expect := func(want string) {
		t.Helper()
		if got, err := child.Line(); got != want {
			t.Fatalf("child said %q, %v; want %q", got, err, want)
		}
	}
	expect("registered")
	child.Signal(syscall.SIGSTOP)
	time.Sleep(stall)
	child.Signal(syscall.SIGCONT)
	fmt.Fprintln(child.Stdin, "look")
	expect("there: true")
	expect("expired")
}

func stallChild(t *testing.T) {
	r, err := registry.OpenTuned(registry.Config{}, func(cfg *registry.Config, _ *registry.Tuning) { cfg.Lease.Min = stallLease })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	for !r.Begun() { // what is before is no stall
		time.Sleep(time.Millisecond)
	}
	a1 := math("a1")
	a1.Lease = stallLease
	register(t, r, a1)
	w, err := r.Watch("", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fmt.Println("registered")
	bufio.NewReader(os.Stdin).ReadString('\n')
	_, there := r.Instance(a1.Key)
	fmt.Println("there:", there)
	for {
		events, err := w.Next(ctx)
		if err != nil || r.Stats().Stalled < stall/2 {
			break
		}
		if events[len(events)-1].New == nil { // before it was removed it became a suspect
			fmt.Println("expired")
			break
		}
	}
	io.Copy(io.Discard, os.Stdin)
}
