package integrations

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// TestResolvedFollows runs systemd-resolved with DNSSEC=yes, with its cache, which it does not
// use for servers on loopback, and without D-Bus, which its stub does not need.
func TestResolvedFollows(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("/lib/systemd/systemd-resolved")
	if err != nil {
		program = peertest.Need(t, "systemd-resolved")
	}
	setpriv := peertest.Need(t, "setpriv")
	j := newJourney(t, "systemd-resolved.md")
	stub, dir := freeaddr.Take(1)[0].String(), t.TempDir()
	write(t, dir, "rollcall.conf", recipe(t, "systemd-resolved.md", "resolved.conf", "127.0.0.1:5300", j.env.DNSAddr()))
	write(t, dir, "rollcall.negative", recipe(t, "systemd-resolved.md", "rollcall.negative"))
	write(t, dir, "test.conf", fmt.Sprintf("[Resolve]\nDNSSEC=yes\nCacheFromLocalhost=yes\nDNSStubListener=no\nDNSStubListenerExtra=%s\nLLMNR=no\nMulticastDNS=no\n", stub))
	startAlone(t, dir, `
		mount -t tmpfs none /run
		mkdir -p -m 755 /run/systemd/resolved.conf.d /run/dnssec-trust-anchors.d
		mkdir -m 777 /run/systemd/resolve
		cp *.conf /run/systemd/resolved.conf.d
		cp *.negative /run/dnssec-trust-anchors.d`,
		// As root it would become the user systemd-resolve, which a test machine may lack.
		setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+setpcap", "--ambient-caps=+setpcap", program)
	j.program, j.at = stub, "127.0.0.53"
	j.travel()
}
