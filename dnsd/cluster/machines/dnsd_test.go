//go:build linux

package machines

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
)

// session of the dnsd: short, so that the tests are quick. The shortest is 2 s.
const session = 3 * time.Second

// slack is how much later than promised something may be on a test machine, beside the time
// that the machine has lost. It is less than a session: what has to happen before the
// session ends is told from what waits for it.
const slack = 1500 * time.Millisecond

// A dnsd is one of several, on a machine of its own.
type dnsd struct {
	*machine
	process *process // of its last start
	name    string
	store   string // what its Corefile says of the store
	rest    string // other lines of its Corefile
	site    *site

	corefile string // another Corefile than the usual one
}

// A site is several dnsd that share a registry.
type site struct {
	t      *testing.T
	dnsds  []*dnsd
	token  string // that servers and operators use; empty: none is asked for
	number int    // of writes

	certificate, key string // of all dnsd, in PEM
}

// corefile is the Corefile of a dnsd: that of docs/cluster.md, with shorter times.
const corefile = `svc:5300 {
    bind %[1]s
    hook %[1]s:8053 {
        %[2]s
    }
    %[3]s
    ttl 1s
    lease 3s
    transfer {
        to %[4]s/32
    }
    log info console
    %[5]s
}
`

// newCluster starts three dnsd with a store in themselves, and waits until they are ready.
func newCluster(t *testing.T) *site {
	t.Helper()
	s := &site{t: t}
	for range 3 {
		s.add()
	}
	s.peers(s.dnsds...)
	for _, d := range s.dnsds {
		d.start()
	}
	s.ready(s.dnsds...)
	return s
}

// add adds a machine for a dnsd, which is not started.
func (s *site) add() *dnsd {
	s.t.Helper()
	d := &dnsd{machine: newMachine(s.t), name: string(rune('a' + len(s.dnsds))), site: s}
	s.dnsds = append(s.dnsds, d)
	return d
}

// peers gives some dnsd the same lines peer, and a certificate.
func (s *site) peers(all ...*dnsd) {
	s.t.Helper()
	if s.certificate == "" {
		s.certify()
	}
	var lines strings.Builder
	for _, d := range all {
		fmt.Fprintf(&lines, "        peer %s https://%s:2380\n", d.name, d.addr)
	}
	for _, d := range all {
		d.machine.write("peer.pem", s.certificate)
		d.machine.write("peer.key", s.key)
		d.store = fmt.Sprintf("store cluster etcd {\n        name %s\n%s        tls peer.pem peer.key peer.pem\n        session %v\n    }", d.name, lines.String(), session)
	}
}

// certify makes a certificate for all machines of dnsd that there are.
func (s *site) certify() {
	s.t.Helper()
	var addrs []string
	for _, d := range s.dnsds {
		addrs = append(addrs, d.addr)
	}
	c, _ := peertest.Certificate(s.t, addrs...)
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		s.t.Fatal(err)
	}
	s.certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	s.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// restart starts a dnsd that was killed, without its local copy. That may be a second old,
// and is served if the store does not answer at once. To the recorder, reads would go back.
func (d *dnsd) restart() {
	d.t.Helper()
	for _, name := range []string{"etcd/copy.db", "svc.copy"} {
		if err := os.RemoveAll(filepath.Join(d.dir, name)); err != nil {
			d.t.Fatal(err)
		}
	}
	d.start()
}

// start starts the full dnsd.
func (d *dnsd) start() { d.t.Helper(); d.run("full") }

func (d *dnsd) run(command string) {
	d.t.Helper()
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	access := "insecure"
	if d.site.token != "" {
		access = "token " + d.site.token + " read write admin *"
	}
	text := d.corefile
	if text == "" {
		text = fmt.Sprintf(corefile, d.addr, access, d.store, here, d.rest)
	}
	d.machine.write("Corefile", text)
	d.process = d.launch("dnsd "+d.name, []string{commandVar + "=" + command, "STATE_DIRECTORY=" + d.dir}, self, "-conf", "Corefile")
}

// fails waits until the dnsd has ended with status 1, after a line with a text.
func (d *dnsd) fails(text string) {
	d.t.Helper()
	select {
	case <-d.process.ended:
	case <-time.After(patience):
		d.t.Fatalf("dnsd %s runs on; it said:\n%s", d.name, d.process.output())
	}
	lines := strings.Split(strings.TrimSpace(d.process.output()), "\n")
	last := lines[len(lines)-1]
	if d.process.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(last, text) || !strings.HasPrefix(last, "Corefile:") {
		d.t.Errorf("dnsd %s ended (%v), and did not say %q with the line of its Corefile:\n%s", d.name, d.process.err, text, d.process.output())
	}
	d.t.Logf("dnsd %s: %s", d.name, last)
}

func (d *dnsd) hook() string { return "http://" + d.addr + ":8053" }
func (d *dnsd) dns() string  { return d.addr + ":5300" }

// hooks and servers are those of some dnsd.
func hooks(all []*dnsd) (urls []string) {
	for _, d := range all {
		urls = append(urls, d.hook())
	}
	return urls
}

func servers(all []*dnsd) (addrs []string) {
	for _, d := range all {
		addrs = append(addrs, d.dns())
	}
	return addrs
}

// others are the dnsd that are not among some.
func (s *site) others(not ...*dnsd) []*dnsd {
	return slices.DeleteFunc(slices.Clone(s.dnsds), func(d *dnsd) bool { return slices.Contains(not, d) })
}

// client makes requests of which none waits for another.
var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// ask asks the hook, and returns the answer, its status, and the header Retry-After.
func (d *dnsd) ask(method, path, body string) (text string, status int, retry string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), client.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.hook()+path, strings.NewReader(body))
	if err != nil {
		return "", 0, "", err
	}
	if d.site.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.site.token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(b), resp.StatusCode, resp.Header.Get("Retry-After"), err
}

// unready is why the dnsd says that it is not ready; empty: it is ready.
func (d *dnsd) unready() string {
	text, status, _, err := d.ask("GET", "/readyz", "")
	switch {
	case err != nil:
		return err.Error()
	case status != http.StatusOK:
		return text
	}
	return ""
}

// status is what the dnsd says of the cluster.
func (d *dnsd) status() (c register.Cluster, err error) {
	text, status, _, err := d.ask("GET", "/v1/cluster", "")
	switch {
	case err != nil:
		return c, err
	case status != http.StatusOK:
		return c, fmt.Errorf("%d: %s", status, text)
	}
	return c, json.Unmarshal([]byte(text), &c)
}

// ready waits until some dnsd are ready, and agree about their members.
func (s *site) ready(all ...*dnsd) {
	s.t.Helper()
	for _, d := range all {
		await(s.t, "dnsd "+d.name+" is ready", func() bool {
			c, err := d.status()
			return err == nil && len(c.Members) >= len(all) && c.Writer != "" && d.unready() == ""
		})
	}
}

// writer waits until some dnsd, or all if none is given, agree about the writer, and
// returns it.
func (s *site) writer(of ...*dnsd) (w *dnsd) {
	s.t.Helper()
	if of == nil {
		of = s.dnsds
	}
	await(s.t, "there is a writer", func() bool {
		name := ""
		for _, d := range of {
			c, err := d.status()
			if err != nil || c.Writer == "" || name != "" && c.Writer != name {
				return false
			}
			name = c.Writer
		}
		i := slices.IndexFunc(s.dnsds, func(d *dnsd) bool { return d.name == name })
		if i >= 0 {
			w = s.dnsds[i]
		}
		return i >= 0
	})
	return w
}

// successor waits until some dnsd agree about a writer that is not the one before.
func (s *site) successor(of *dnsd, all ...*dnsd) (w *dnsd) {
	s.t.Helper()
	await(s.t, "there is another writer than dnsd "+of.name, func() bool {
		w = s.writer(all...)
		return w != of
	})
	return w
}

// revision is that of the registry at the dnsd. After a restore, a process before may still
// be listed with its name.
func (d *dnsd) revision() (newest uint64) {
	d.t.Helper()
	c, err := d.status()
	for _, m := range c.Members {
		if m.Name == d.name {
			newest = max(newest, m.Revision)
		}
	}
	if newest == 0 {
		d.t.Fatalf("dnsd %s says no revision of its own: %+v, %v", d.name, c, err)
	}
	return newest
}

// settled waits for a writer. If the servers of etcd are inside the dnsd, it is led by
// another one, so that the end of the writer costs no election.
func (s *site) settled() *dnsd {
	s.t.Helper()
	began, w := time.Now(), s.writer()
	await(s.t, "etcd is led by another dnsd than the writer "+w.name, func() bool {
		c, err := w.status()
		if err != nil || c.Etcd == nil {
			return false
		}
		return !c.Etcd.Inside || slices.ContainsFunc(c.Etcd.Members, func(p register.ClusterPeer) bool { return p.Leader && p.Name != w.name })
	})
	if now := s.writer(); now != w {
		tooLate(s.t, began, fmt.Sprintf("the writer was dnsd %s, and is dnsd %s, but nothing has failed", w.name, now.name))
		s.t.FailNow()
	}
	return w
}

// led is the dnsd whose server leads those of etcd, as another one sees it.
func (s *site) led(seen *dnsd) (leader *dnsd) {
	s.t.Helper()
	await(s.t, "etcd has a leader", func() bool {
		c, err := seen.status()
		if err != nil || c.Etcd == nil {
			return false
		}
		for _, p := range c.Etcd.Members {
			for _, d := range s.dnsds {
				if p.Leader && p.Name == d.name {
					leader = d
				}
			}
		}
		return leader != nil
	})
	return leader
}

// write registers an instance at a dnsd, again and again until that is acknowledged, and
// returns how long after a time that was.
func (s *site) write(at *dnsd, since time.Time) time.Duration {
	s.t.Helper()
	s.number++
	path := fmt.Sprintf("/v1/services/_after._tcp/instances/w%d", s.number)
	var last string
	await(s.t, "dnsd "+at.name+" acknowledges a write", func() bool {
		text, status, _, err := at.ask("PUT", path, `{"port":1,"lease":"1h"}`)
		if now := fmt.Sprint(status, text, err); status/100 != 2 && now != last {
			last = now
			s.t.Logf("%v after the fault, dnsd %s answers a write: %d %s %v", time.Since(since).Round(time.Millisecond), at.name, status, strings.TrimSpace(text), err)
		}
		return err == nil && status/100 == 2
	})
	return time.Since(since)
}

// within checks a time, which began at since, against what is promised, and logs it.
func (s *site) within(what string, since time.Time, took, promised time.Duration) {
	s.t.Helper()
	lost, _ := machineLag.since(since)
	s.t.Logf("%s: %v; %v is promised; the machine has lost %v", what, took.Round(time.Millisecond), promised, lost.Round(time.Millisecond))
	if took > promised+slack+lost {
		tooLate(s.t, since, fmt.Sprintf("%s: %v, and %v is promised", what, took, promised))
	}
}
