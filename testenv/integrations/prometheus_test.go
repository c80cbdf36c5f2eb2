package integrations

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/testenv"
)

// TestPrometheusFollowsOverHTTP: http_sd, with the ids of instances as labels.
func TestPrometheusFollowsOverHTTP(t *testing.T) {
	t.Parallel()
	binary := peertest.Need(t, "prometheus")
	env := testenv.New(t, testenv.Setup{Nodes: 2})
	text := recipe(t, "prometheus.md", "prometheus.yml", "http://127.0.0.1:8053", env.HookURL(), "_metrics._tcp", "_math._tcp", "refresh_interval: 5s", "refresh_interval: 200ms")
	p := newPrometheus(t, text)
	peertest.Start(t, p.dir, binary, p.args...)
	p.byID = true
	p.travel(t, env)
}

// TestPrometheusFollowsOverDNS: dns_sd, by the system's resolv.conf, which has no ports. So
// this dnsd is at port 53 of an address of loopback that no other program uses.
func TestPrometheusFollowsOverDNS(t *testing.T) {
	t.Parallel()
	binary := peertest.Need(t, "prometheus")
	pid := os.Getpid()
	host := fmt.Sprintf("127.53.%d.%d", pid>>8&0xff, pid&0xff|1)
	if os.Geteuid() != 0 {
		t.Skip("port 53 and a resolv.conf of its own are for root")
	}
	env := testenv.New(t, testenv.Setup{Nodes: 2, Zone: dnsd.Zone{Bind: []string{host + ":53"}}})
	text := recipe(t, "prometheus.md", "prometheus-dns.yml", "_metrics._tcp", "_math._tcp", "refresh_interval: 5s", "refresh_interval: 200ms")
	p := newPrometheus(t, text)
	write(t, p.dir, "resolv.conf", "nameserver "+host+"\n")
	startAlone(t, p.dir, "mount --bind resolv.conf /etc/resolv.conf", append([]string{binary}, p.args...)...)
	p.travel(t, env)
}

// A prometheus is a Prometheus that a test runs.
type prometheus struct {
	dir, addr string
	args      []string
	byID      bool // its label "instance" is the id
}

func newPrometheus(t *testing.T, config string) *prometheus {
	t.Helper()
	p := &prometheus{dir: t.TempDir(), addr: freeaddr.Take(1)[0].String()}
	path := write(t, p.dir, "prometheus.yml", config)
	if out, err := exec.Command(peertest.Need(t, "promtool"), "check", "config", "--syntax-only", path).CombinedOutput(); err != nil {
		t.Fatalf("promtool refuses the document's configuration: %v\n%s", err, out)
	}
	p.args = []string{"--config.file=" + path, "--storage.tsdb.path=" + filepath.Join(p.dir, "data"), "--web.listen-address=" + p.addr}
	return p
}

// travel sees that the targets follow a registration, a kill, and a restart. Prometheus takes
// new targets only each 5 s, so it is asked seldom.
func (p *prometheus) travel(t *testing.T, env *testenv.Env) {
	t.Helper()
	p.await(t, env, "two nodes", "a1", "a2")
	env.AddNode()
	env.Fault(0, testenv.Kill)
	env.AwaitNodes()
	p.await(t, env, "a registration and a kill", "a2", "a3")
	env.Restart(0)
	env.AwaitNodes()
	p.await(t, env, "a restart", "a1", "a2", "a3")
	if lines := show(t, "prometheus.md", "127.0.0.1:9090", p.addr); len(lines) != 3 {
		t.Errorf("the page's command shows %q, and there are 3 targets", lines)
	}
}

// await returns when Prometheus has these nodes as its targets.
func (p *prometheus) await(t *testing.T, env *testenv.Env, what string, ids ...string) {
	t.Helper()
	want := map[string]string{}
	for _, n := range env.Nodes() {
		switch {
		case !slices.Contains(ids, n.ID):
		case p.byID:
			want[n.ID] = n.Addr()
		default:
			target := fmt.Sprintf("%s.math.tcp.svc:%d", n.ID, portOf(n.Addr()))
			want[target] = target
		}
	}
	took := await(t, "Prometheus follows "+what, patience, func() (bool, any) {
		have, err := p.targets()
		return err == nil && maps.Equal(have, want), fmt.Sprint(have, err)
	})
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
}

// targets are the addresses of the targets, by the label "instance".
func (p *prometheus) targets() (map[string]string, error) {
	resp, err := http.Get("http://" + p.addr + "/api/v1/targets?state=active")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			ActiveTargets []struct {
				DiscoveredLabels, Labels map[string]string
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, target := range answer.Data.ActiveTargets {
		all[target.Labels["instance"]] = target.DiscoveredLabels["__address__"]
	}
	return all, nil
}
