//go:build linux

package machines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tokens of the Corefile in docs/cluster.md.
const serversToken, operatorsToken = "secret-of-servers", "secret-of-operators"

// documented is the code in docs/cluster.md after the line <!-- ci: NAME -->.
func documented(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- ci: "+name+" -->\n```\n")
	code, _, ended := strings.Cut(rest, "```\n")
	if !ok || !ended {
		t.Fatalf("docs/cluster.md has no block %s", name)
	}
	return code
}

// configure gives a dnsd the Corefile of docs/cluster.md, with its own name and addresses,
// and with some members as peers.
func (s *site) configure(d *dnsd, members ...*dnsd) {
	s.t.Helper()
	var text strings.Builder
	for line := range strings.Lines(documented(s.t, "cluster")) {
		words := strings.Fields(line)
		switch {
		case words[0] == "bind" || words[0] == "hook":
			line = strings.ReplaceAll(line, "10.0.0.1", d.addr)
		case words[0] == "name":
			line = "name " + d.name + "\n"
		case words[0] == "peer" && words[1] == "a":
			line = ""
			for _, m := range members {
				line += fmt.Sprintf("peer %s https://%s:2380\n", m.name, m.addr)
			}
		case words[0] == "peer":
			continue
		}
		line = strings.ReplaceAll(line, "/var/lib/dnsd/", "")
		text.WriteString(strings.ReplaceAll(line, "/etc/dnsd/", ""))
	}
	d.corefile = text.String()
	for name, text := range map[string]string{
		"token": serversToken, "operators.token": operatorsToken,
		"peer.pem": s.certificate, "peer.key": s.key, "peer-ca.pem": s.certificate,
	} {
		d.machine.write(name, text+"\n")
	}
}

// operates runs commands of docs/cluster.md, with the machines that they name, until they
// succeed.
func (s *site) operates(name string, machines map[string]string) string {
	s.t.Helper()
	script := documented(s.t, name)
	for is, shall := range machines {
		script = strings.ReplaceAll(script, is, shall)
	}
	var out []byte
	last := ""
	await(s.t, "this succeeds: "+script, func() bool {
		cmd := exec.Command("sh", "-ec", strings.ReplaceAll(script, "curl -f", "curl -sS --fail-with-body"))
		cmd.Env = append(os.Environ(), "TOKEN="+operatorsToken)
		var err error
		out, err = cmd.CombinedOutput()
		if now := string(out); err != nil && now != last {
			last = now
			s.t.Logf("%s: %v: %s", strings.TrimSpace(script), err, now)
		}
		return err == nil
	})
	return string(out)
}

// complete waits until some dnsd list the same members and servers of etcd, all without an
// error.
func (s *site) complete(all ...*dnsd) {
	s.t.Helper()
	began := time.Now()
	defer func() { s.t.Logf("the list is complete after %v", time.Since(began).Round(time.Millisecond)) }()
	for _, d := range all {
		last := ""
		await(s.t, "dnsd "+d.name+" lists all without an error", func() bool {
			c, err := d.status()
			if err != nil || c.Etcd == nil {
				return false
			}
			good := len(c.Members) == len(all) && len(c.Etcd.Members) == len(all) && c.Writer != ""
			for _, m := range c.Members {
				good = good && m.Error == ""
			}
			for _, m := range c.Etcd.Members {
				good = good && m.Error == ""
			}
			if now := fmt.Sprintf("%+v %+v", c.Members, c.Etcd.Members); !good && now != last {
				last = now
			}
			return good && d.unready() == ""
		})
	}
}

// TestMachinesJoinAreReplacedAndLeave: with the Corefile and by the commands of
// docs/cluster.md.
func TestMachinesJoinAreReplacedAndLeave(t *testing.T) {
	need(t, "curl")
	t.Parallel()
	s := &site{t: t, token: serversToken}
	for range 5 {
		s.add()
	}
	s.certify()
	a, b, c, d, e := s.dnsds[0], s.dnsds[1], s.dnsds[2], s.dnsds[3], s.dnsds[4]
	first := []*dnsd{a, b, c}
	s.dnsds = first
	for _, m := range first {
		s.configure(m, first...)
		m.start()
	}
	s.complete(first...)
	crowd := s.gather()
	if list := s.operates("list.sh", map[string]string{"10.0.0.1": a.addr}); !strings.Contains(list, `"writer"`) {
		t.Errorf("the list is %s", list)
	}

	// The machine of c is lost, with its disk. It must not come back as if nothing were.
	crowd.excuse(c)
	c.process.kill()
	if err := os.RemoveAll(filepath.Join(c.dir, "etcd")); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.fails("peer c was part of it, but etcd has no data")

	// d takes its place.
	s.operates("remove.sh", map[string]string{"10.0.0.1": a.addr, "members/c": "members/" + c.name})
	s.operates("add.sh", map[string]string{"10.0.0.1": b.addr, "10.0.0.4": d.addr})
	second := []*dnsd{a, b, d}
	s.configure(d, second...)
	d.start()
	s.complete(second...)
	c.start()
	c.fails("does not know https://" + c.addr + ":2380")

	// The others get the new list, one after the other: that is an update, too.
	for _, m := range []*dnsd{a, b} {
		s.configure(m, second...)
		crowd.excuse(m)
		m.process.stop()
		m.start()
		s.complete(second...)
		crowd.expect(m)
	}

	// One more machine, which is more than is of use.
	s.operates("add.sh", map[string]string{"10.0.0.1": d.addr, "10.0.0.4": e.addr, `"d"`: `"e"`})
	third := []*dnsd{a, b, d, e}
	s.configure(e, third...)
	e.start()
	s.complete(third...)
	e.process.says("of 4 peers 1 may be lost, as of 3")

	// It leaves, while it runs.
	s.operates("remove.sh", map[string]string{"10.0.0.1": a.addr, "members/c": "members/e"})
	e.process.says("if this peer was removed from the cluster, this is why")
	e.process.stop()
	s.complete(second...)
	for _, m := range second {
		m.digs(keptService, "status: NOERROR", "ANSWER: 6")
	}
	crowd.disperse()
}

// TestAClusterIsRestored: most machines are lost for good. What the last one knows is saved,
// and a cluster is made of it, by the commands of docs/cluster.md.
func TestAClusterIsRestored(t *testing.T) {
	need(t, "etcdctl")
	t.Parallel()
	s := newCluster(t)
	w := s.settled()
	s.write(w, time.Now())
	last := s.others(w)[0]
	s.write(last, time.Now())
	before := last.revision()
	time.Sleep(2 * copyTime) // no event tells that the copy is written
	for _, d := range s.others(last) {
		d.process.kill()
	}
	last.script(documented(t, "backup.sh"), nil)
	backup, err := os.ReadFile(filepath.Join(last.dir, "backup.db"))
	if err != nil {
		t.Fatal(err)
	}
	last.process.kill()
	for _, d := range s.dnsds {
		d.machine.write("backup.db", string(backup))
		d.script(documented(t, "restore.sh"), s.dnsds)
	}
	for _, d := range s.dnsds {
		d.start()
	}
	s.ready(s.dnsds...)
	for _, d := range s.dnsds {
		// Until a writer has begun the new life, each is ready with what it had.
		await(t, "dnsd "+d.name+" is in the new life", func() bool { return d.revision() > before })
		for n := range 2 {
			path := fmt.Sprintf("/v1/services/_after._tcp/instances/w%d", n+1)
			if text, status, _, err := d.ask("GET", path, ""); status != 200 {
				t.Errorf("dnsd %s has lost %s: %d %s %v", d.name, path, status, text, err)
			}
		}
	}
	s.write(s.dnsds[0], time.Now())
}

// copyTime is more than the time between two local copies.
const copyTime = 1200 * time.Millisecond

// script runs commands of docs/cluster.md on the machine, with its own name and address
// for those of a, and with the addresses of the others.
func (d *dnsd) script(text string, all []*dnsd) {
	d.t.Helper()
	text = strings.ReplaceAll(text, "/var/lib/dnsd/", d.dir+"/")
	text = strings.ReplaceAll(text, "--name a", "--name "+d.name)
	text = strings.ReplaceAll(text, "peer-urls https://10.0.0.1:", "peer-urls https://"+d.addr+":")
	for i, o := range all {
		text = strings.ReplaceAll(text, fmt.Sprintf("=https://10.0.0.%d:", i+1), "=https://"+o.addr+":")
	}
	if _, err := exec.LookPath("etcdutl"); err != nil {
		text = strings.ReplaceAll(text, "etcdutl", "etcdctl")
	}
	p := d.launch("sh", []string{"ETCDCTL_API=3"}, "sh", "-ec", text)
	<-p.ended
	if p.err != nil {
		d.t.Fatalf("%s: %v: %s", text, p.err, p.output())
	}
}
