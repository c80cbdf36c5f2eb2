//go:build unix

package registry_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
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
	child := exec.Command(os.Args[0], "-test.run=^TestStoppedProcessKeepsItsLeases$")
	child.Env = append(os.Environ(), stallEnv+"=1")
	child.Stderr = os.Stderr
	in, err1 := child.StdinPipe()
	out, err2 := child.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer in.Close()
	lines := bufio.NewReader(out)
	expect := func(want string) {
		t.Helper()
		if got, err := lines.ReadString('\n'); got != want+"\n" {
			t.Fatalf("child said %q, %v; want %q", got, err, want)
		}
	}
	expect("registered")
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // this is the stall, longer than the lease of 2s
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "look")
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
	w, err := r.Watch("", 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fmt.Println("registered")
	bufio.NewReader(os.Stdin).ReadString('\n')
	_, there := r.Instance(a1.Key)
	fmt.Println("there:", there)
	if events, err := w.Next(ctx); err == nil && events[0].New == nil && r.Stats().Stalled > 2*time.Second {
		fmt.Println("expired")
	}
	io.Copy(io.Discard, os.Stdin)
}
