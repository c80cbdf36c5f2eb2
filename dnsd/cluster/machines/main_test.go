//go:build linux

package machines

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/wal"

	"github.com/rollcall-dns/rollcall/dnsd/cluster"
	"github.com/rollcall-dns/rollcall/dnsd/internal/command"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// Variables of the environment that make the test binary something else.
const (
	commandVar = "MACHINES_COMMAND" // it is a dnsd: full or light
	insideVar  = "MACHINES_INSIDE"  // it runs the tests, in namespaces of its own
)

// TestMain runs the tests in a process with a network of its own, so that whatever the
// tests do to it ends with them, and concerns no other program.
func TestMain(m *testing.M) {
	switch os.Getenv(commandVar) {
	case "full":
		wal.SegmentSizeBytes = 4 << 20 // the disks of the machines are in memory
		os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr, cluster.Stores{}))
	case "light":
		os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr, nil))
	}
	flag.Parse()
	switch {
	case os.Getenv(insideVar) != "":
		if err := makeSwitch(); err != nil {
			missing = err
		}
		go machineLag.run()
	case os.Geteuid() != 0:
		missing = errors.New("this is not root")
	default:
		runtime.LockOSThread() // the other process ends with this thread
		status, err := inside()
		if err == nil {
			os.Exit(status)
		}
		missing = err
	}
	// The tests wait far more than they work.
	if f := flag.Lookup("test.parallel"); f.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set("4")
	}
	os.Exit(m.Run())
}

// inside runs this program with the same arguments in namespaces of its own, and returns
// its exit status.
func inside() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideVar+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err = cmd.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return max(ended.ExitCode(), 1), nil
	}
	return 0, err
}

// missing is why there are no machines; nil: there are.
var missing error

// need skips a test without machines, or without programs that it needs.
func need(t *testing.T, programs ...string) {
	t.Helper()
	switch {
	case missing == nil:
	case peertest.Mandatory():
		t.Fatalf("there are no machines, and ROLLCALL_PEERS=1 demands them: %v", missing)
	default:
		t.Skipf("there are no machines: %v", missing)
	}
	for _, p := range programs {
		peertest.Need(t, p)
	}
}
