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

const stallEnv = "ROLLCALL_STALL_CHILD"

// TestStoppedProcessKeepsItsLeases: a process stopped for longer than a lease
// still has the instance when it goes on, and lets it go only after the rest of
// the lease.
func TestStoppedProcessKeepsItsLeases(t *testing.T) {
	if os.Getenv(stallEnv) != "" {
		stallChild(t)
		return
	}
	t.Parallel() // most of it is waiting
	child := peertest.StartSelf(t, "child", stallEnv+"=1")
	expect := func(want string) {
		t.Helper()
		if got, err := child.Line(); got != want {
			t.Fatalf("child said %q, %v; want %q", got, err, want)
		}
	}
	expect("registered")
	child.Signal(syscall.SIGSTOP)
	time.Sleep(3 * time.Second) // this is the stall, longer than the lease of 2s
	child.Signal(syscall.SIGCONT)
	fmt.Fprintln(child.Stdin, "look")
	expect("there: true")
	expect("expired")
}

func stallChild(t *testing.T) {
	r, err := registry.Open(registry.Config{MinLease: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	a1 := math("a1")
	a1.Lease = 2 * time.Second
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
		if err != nil || r.Stats().Stalled < 2*time.Second {
			break
		}
		if events[len(events)-1].New == nil { // it was a suspect first
			fmt.Println("expired")
			break
		}
	}
	io.Copy(io.Discard, os.Stdin)
}
