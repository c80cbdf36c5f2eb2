package integrations

import (
	"os/exec"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// startAlone runs a program in a mount namespace of its own, after the commands of prepare,
// which the shell runs there. It skips the test where the system has no such namespaces
// for the test's user.
func startAlone(t *testing.T, dir, prepare string, program ...string) {
	t.Helper()
	unshare := peertest.Need(t, "unshare")
	if out, err := exec.Command(unshare, "--mount", "mount", "-t", "tmpfs", "none", "/run").CombinedOutput(); err != nil {
		t.Skipf("this system has no mount namespaces for this user: %v\n%s", err, out)
	}
	// Each of these replaces itself, so the signal that ends the program reaches it.
	args := []string{"--mount", "sh", "-e", "-c", prepare + "\nexec \"$@\"", "sh"}
	peertest.Start(t, dir, unshare, append(args, program...)...)
}
