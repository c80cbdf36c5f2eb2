package nameserver

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// changer registers, changes, drains and removes instances at random.
type changer struct {
	z        *zone.Zone
	rnd      *rand.Rand
	revision uint64
	live     []*registry.Instance
	next     int
}

func (c *changer) step() {
	c.revision++
	service := fmt.Sprintf("_s%d._tcp", c.rnd.IntN(20))
	i := -1
	if len(c.live) > 0 {
		i = c.rnd.IntN(len(c.live))
	}
	switch k := c.rnd.IntN(10); {
	case i < 0 || k < 4:
		c.next++
		in := instance(service, c.next)
		switch c.rnd.IntN(4) {
		case 0:
			in.Host = fmt.Sprintf("2001:db8::%x", c.next)
		case 1:
			in.Host = fmt.Sprintf("h%d.example.", c.next)
		}
		c.live = append(c.live, in)
		change(c.z, c.revision, nil, in)
	case k < 6:
		change(c.z, c.revision, c.live[i], nil)
		c.live = slices.Delete(c.live, i, i+1)
	default:
		now := *c.live[i]
		now.Weight++
		if k == 9 {
			now.State = registry.Drained
		} else {
			now.State = registry.Up
		}
		if k == 8 {
			now.Meta = map[string]string{"rev": fmt.Sprint(c.revision)}
			now.TTL = time.Duration(1+c.rnd.IntN(7)) * time.Second
		}
		change(c.z, c.revision, c.live[i], &now)
		c.live[i] = &now
	}
}

func TestSecondariesHoldTheZoneAfterHundredsOfChanges(t *testing.T) {
	needPeers(t)
	addrs, to := peerAddrs(t)
	z := testZone(t)
	s := start(t, Config{Zones: []Zone{{Zone: z, TSIG: testKeys, Transfer: append(to, Secondary{Prefix: loopback})}}})
	c := &changer{z: z, rnd: rand.New(rand.NewPCG(1, 2)), revision: uint64(z.Serial())}
	for range 1500 {
		c.step()
	}
	peers := startPeers(t, s.Addrs()[0], addrs)
	for _, p := range peers {
		p.waitSerial(t, z.Serial())
	}
	begin := s.Stats()
	const changes, seconds = 150, 4 // a second, and for how long
	tick := time.NewTicker(time.Second / changes)
	defer tick.Stop()
	for range changes * seconds {
		<-tick.C
		c.step()
	}
	want := contents(z)
	for _, p := range peers {
		p.waitSerial(t, z.Serial())
		if got := p.contents(t, z.Serial()); !slices.Equal(got, want) {
			t.Errorf("%s holds %d records, dnsd %d:\n%s", p.name, len(got), len(want), differing(got, want))
		}
	}
	st := s.Stats()
	ixfr, axfr := st.IXFR-begin.IXFR, st.AXFR-begin.AXFR
	// NSD, Knot and BIND each come back a few times a second.
	if ixfr < 15 || axfr*5 > ixfr {
		t.Errorf("%d incremental and %d whole transfers during the changes", ixfr, axfr)
	}
	t.Logf("%d changes: %d IXFR, %d AXFR (%d asked as IXFR), %d NOTIFY, %d NOTIFY given up", changes*seconds, ixfr, axfr, st.IXFRFallback-begin.IXFRFallback, st.Notifies, st.NotifyFailures)
	checkZone(t, want)
}

// TestSecondariesOfASharedRegistry: NSD, Knot and BIND start while the primary has no
// content, follow it from its first Load on, and through a later one at a much higher
// revision and without a history, as a follower has it whose store was restored.
func TestSecondariesOfASharedRegistry(t *testing.T) {
	needPeers(t)
	addrs, to := peerAddrs(t)
	z := absent(t, "svc.")
	s := start(t, Config{Zones: []Zone{{Zone: z, TSIG: testKeys, Transfer: append(to, Secondary{Prefix: loopback})}}})
	peers := startPeers(t, s.Addrs()[0], addrs)
	for _, p := range peers {
		eventually(t, p.name+" to answer", func() bool {
			r, err := p.exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), "udp")
			return err == nil && r.Rcode == dns.RcodeServerFailure
		})
	}
	c := &changer{z: z, rnd: rand.New(rand.NewPCG(7, 8)), revision: 1 << 20}
	for range 3 {
		c.revision += 1 << 20
		z.Load(c.revision, slices.Values(c.live), nil)
		for range 2 {
			want := contents(z)
			for _, p := range peers {
				p.waitSerial(t, z.Serial())
				if got := p.contents(t, z.Serial()); !slices.Equal(got, want) {
					t.Errorf("%s holds %d records, dnsd %d:\n%s", p.name, len(got), len(want), differing(got, want))
				}
			}
			for range 100 {
				c.step()
			}
		}
		z.SetStale(true) // which no secondary hears of
		c.live = c.live[len(c.live)/3:]
	}
}

// differing shows some of the lines that only one side has.
func differing(got, want []string) string {
	var b strings.Builder
	for _, l := range got {
		if !slices.Contains(want, l) {
			fmt.Fprintln(&b, "+", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			fmt.Fprintln(&b, "-", l)
		}
	}
	all := strings.SplitAfterN(b.String(), "\n", 20)
	return strings.Join(all[:min(len(all), 19)], "")
}

// checkZone lets the checkers of BIND, NSD and Knot read the zone.
func checkZone(t *testing.T, lines []string) {
	file := filepath.Join(t.TempDir(), "svc.zone")
	// The SOA first: some readers insist.
	soa := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "\tSOA\t") })
	all := append([]string{lines[soa]}, slices.Delete(slices.Clone(lines), soa, soa+1)...)
	if err := os.WriteFile(file, []byte(strings.Join(all, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	checks := [][]string{
		{"named-checkzone", "-i", "local", "-k", "fail", "-m", "fail", "-n", "fail", "-r", "fail", "-S", "fail", "svc.", file},
		{"nsd-checkzone", "svc.", file},
	}
	if _, err := peertest.Find("kzonecheck"); err == nil {
		checks = append(checks, []string{"kzonecheck", "-o", "svc.", file})
	} // else Knot itself ran the same checks: its configuration says semantic-checks
	checks = append(checks, signedChecks(t, file)...)
	for _, c := range checks {
		out, err := exec.Command(peertest.Need(t, c[0]), c[1:]...).CombinedOutput()
		if err != nil || strings.Contains(strings.ToLower(string(out)), "warning") {
			t.Errorf("%s: %v\n%s", c[0], err, out)
		}
	}
}

// signedChecks signs the zone, so that ldns-verify-zone has something to verify:
// among others that the names and their order make one whole chain (RFC 4034).
// Without Debian's ldnsutils there is nothing to do.
func signedChecks(t *testing.T, file string) [][]string {
	if _, err := peertest.Find("ldns-verify-zone"); err != nil {
		return nil
	}
	keygen := exec.Command("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", "svc.")
	keygen.Dir = filepath.Dir(file)
	key, err := keygen.Output()
	if err != nil {
		t.Fatalf("ldns-keygen: %v", err)
	}
	return [][]string{
		{"ldns-signzone", "-f", file + ".signed", file, filepath.Join(keygen.Dir, strings.TrimSpace(string(key)))},
		{"ldns-verify-zone", file + ".signed"},
	}
}
