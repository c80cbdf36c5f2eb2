package cluster

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// TestAServerIsReplaced is what an operator does whose machine c is lost, and then the
// mistakes on the way.
func TestAServerIsReplaced(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "cluster")
	g := newGroup(t, 3, ca)
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	g.all(3)
	must(t, g.open["a"], put("k", "1"))
	var _ kv.Members = g.open["a"]

	// The machine is lost, with its disk.
	g.stop("c")
	if err := os.RemoveAll(g.dirs["c"]); err != nil {
		t.Fatal(err)
	}
	g.refused("c", g.config("c"), "peer c was part of it, but "+g.dirs["c"]+" has no data", "remove c (DELETE /v1/cluster/members/c at another dnsd)", `add it first: POST /v1/cluster/members {"name":"c","peer":"https://127.0.0.1:`)

	// A new one gets another name and address.
	d := g.add("d", freeaddr.Take(1)[0].String(), ca)
	g.refused("d", g.config("d"), "does not know "+d.URL, `add it first: POST /v1/cluster/members {"name":"d"`)
	if err := g.open["a"].RemoveMember(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "there is none of this name; the members are a, b, c") {
		t.Errorf("the error is %v", err)
	}
	if err := g.open["a"].RemoveMember(soon(t, time.Minute), "c"); err != nil {
		t.Fatal(err)
	}
	g.adds("b", d)
	if err := g.open["b"].AddMember(soon(t, time.Minute), "d", d.URL); err != nil {
		t.Errorf("once more: %v", err)
	}
	g.start("d")
	g.works("a", "b", "d")
	g.all(3)
	if got := g.get("d", "k"); got != "1" {
		t.Errorf("k is %q", got)
	}
	// The lines of peers that are gone do no harm.
	g.stop("d")
	g.start("d")
	g.works("d")
	g.all(3)

	// The old machine comes back, with another server's name, and as it was.
	s := g.config("c")
	s.Name = "d"
	s.Peers = []dnsd.Peer{s.Peers[0], s.Peers[1], {Name: "d", URL: s.Peers[2].URL}}
	g.refused("c as d", s, "its peer d is at "+d.URL)
	g.refused("c", g.config("c"), "does not know https://127.0.0.1:")
}

// adds adds a member at a server. Etcd wants all to have been up for five seconds.
func (g *group) adds(at string, p dnsd.Peer) {
	g.t.Helper()
	await(g.t, func() bool { return g.open[at].AddMember(soon(g.t, time.Minute), p.Name, p.URL) == nil })
}

// refused tries to start a server whose start must be refused with one line, and touch
// nothing.
func (g *group) refused(what string, s dnsd.SharedStore, says ...string) {
	g.t.Helper()
	before := filesOf(s.Dir)
	e, err := g.try(s)
	if err == nil {
		e.Close()
		g.t.Errorf("%s started", what)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
			g.t.Errorf("%s: the error is %v, want one with %q", what, err, text)
		}
	}
	if after := filesOf(s.Dir); !slices.Equal(after, before) {
		g.t.Errorf("%s: the files were %q, and are %q", what, before, after)
	}
}

// filesOf lists the files below a directory, with their times.
func filesOf(dir string) (list []string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, _ := d.Info()
			list = append(list, path+" "+info.ModTime().String())
		}
		return nil
	})
	return list
}

// TestAClusterGrows from one server to three.
func TestAClusterGrows(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, nil)
	g.start("a")
	g.works("a")
	must(t, g.open["a"], put("k", "1"))
	for _, name := range []string{"b", "c"} {
		p := g.add(name, freeaddr.Take(1)[0].String(), nil)
		g.adds("a", p)
		g.start(name)
		g.works("a", name)
	}
	g.all(3)
	g.stop("a")
	g.works("b", "c")
	if got := g.get("c", "k"); got != "1" {
		t.Errorf("k is %q", got)
	}
}

func TestMembersThatCannotBeAddedOrRemoved(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, nil)
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	g.all(3)
	a, ctx := g.open["a"], soon(t, time.Minute)
	for peer, says := range map[string]string{
		"10.0.0.1:2380":         `bad URL "10.0.0.1:2380"; expected one such as http://10.0.0.4:2380`,
		"https://10.0.0.1:2380": "expected one such as http://10.0.0.4:2380",
		"http://10.0.0.1":       "bad URL",
		"http://10.0.0.1:1/x":   "bad URL",
		g.base.Peers[1].URL:     "member b is at " + g.base.Peers[1].URL,
	} {
		if err := a.AddMember(ctx, "d", peer); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: the error is %v, want one with %q", peer, err, says)
		}
	}
	if err := a.AddMember(ctx, "b", "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "there is one of this name") {
		t.Errorf("the error is %v", err)
	}
	g.stop("c")
	// With one of three away, a fourth that never starts would be the end of the majority.
	var err error
	await(t, func() bool {
		err = a.AddMember(ctx, "d", "http://127.0.0.1:1")
		return err != nil && strings.Contains(err.Error(), "not all members are up")
	})
	if err := a.RemoveMember(ctx, "b"); err == nil || !strings.Contains(err.Error(), "not all members are up") {
		t.Errorf("the error is %v", err)
	}
	g.stop("b")
	await(t, func() bool { _, _, err := a.Get(ctx, "k"); return isUnavailable(err) })
	if err := a.RemoveMember(soon(t, time.Second), "c"); err == nil {
		t.Error("removed without a majority")
	}
}

// TestAServerThatWasRemoved stops, and says so; DNS goes on from memory. It leads the others,
// and is asked for its status all the time, as dnsd asks every few seconds: between the removal
// and its end a second later, etcd panics in such a call, with a lock that the stop of one that
// leads needs.
func TestAServerThatWasRemoved(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, nil)
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	g.all(3)
	await(t, func() bool { return g.leader() != "" })
	gone := g.leader()
	others := slices.DeleteFunc([]string{"a", "b", "c"}, func(name string) bool { return name == gone })
	e := g.open[gone]
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() {
		for e.closing.Err() == nil {
			e.Status(t.Context())
		}
	})
	var err error
	await(t, func() bool {
		err = g.open[others[0]].RemoveMember(soon(t, time.Minute), gone)
		return err == nil
	})
	<-e.closing.Done()
	if why := fmt.Sprint(e.why()); !strings.Contains(why, "if this peer was removed from the cluster, this is why") {
		t.Errorf("etcd has ended because %s", why)
	}
	await(t, func() bool { return strings.Contains(e.Status(t.Context()).Error, "etcd has ended: ") })
	await(t, func() bool { _, _, err := e.Get(t.Context(), "k"); return isUnavailable(err) })
	g.stop(gone)
	g.refused(gone, g.config(gone), "the server in "+g.dirs[gone]+" was removed from the cluster", "move "+g.dirs[gone]+" away")
	g.works(others...)
}

func TestDirectoriesThatAreWrong(t *testing.T) {
	t.Parallel()
	g, other := newGroup(t, 3, nil), newGroup(t, 1, nil)
	g.start("a", "b", "c")
	other.start("a")
	g.works("a", "b", "c")
	g.all(3)
	other.works("a")

	s := g.config("a")
	g.refusedToo("a directory that is used", s, "another process uses it: is dnsd running already?")
	g.stop("c")
	s = g.config("c")
	s.Dir = g.dirs["a"]
	other.stop("a")
	s.Dir = other.dirs["a"]
	g.refused("a directory of another cluster", s, other.dirs["a"]+" has the data of another cluster than the one that runs at http://127.0.0.1:")
	s = g.config("c")
	s.Name = "b"
	g.stop("b")
	g.refused("a directory of another peer", s, g.dirs["c"]+" has the data of peer c, and this is peer b: correct the line name")
	s = g.config("c")
	s.Peers[2].URL = "http://127.0.0.1:1"
	g.refused("another URL", s, "the other servers reach peer c at "+g.base.Peers[2].URL+", and not at http://127.0.0.1:1")
	s = g.config("c")
	if err := os.Truncate(filepath.Join(s.Dir, "etcd", "member", "snap", "db"), 100); err != nil {
		t.Fatal(err)
	}
	g.refused("a database that is broken", s, filepath.Join(s.Dir, "etcd", "member", "snap", "db"))
	s.Name = "x"
	g.refused("no peer", s, `name "x" is none of the peers`)
}

// refusedToo is refused for a directory that changes meanwhile.
func (g *group) refusedToo(what string, s dnsd.SharedStore, says string) {
	g.t.Helper()
	if _, err := g.try(s); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
		g.t.Errorf("%s: the error is %v, want one with %q", what, err, says)
	}
}

func TestPortsAndPeersThatAreWrong(t *testing.T) {
	t.Parallel()
	ca, foreign := newAuthority(t, "cluster"), newAuthority(t, "foreign")
	g := newGroup(t, 2, ca)
	g.start("a")
	s := g.config("b")
	s.Peers[1].URL = s.Peers[0].URL
	s.Peers = s.Peers[1:]
	g.refused("a port in use", s, "peer b "+s.Peers[0].URL, "address already in use")
	s = g.config("b")
	s.Peers[1].URL = "https://192.0.2.1:2380"
	f := ca.issue(func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, net.IPv4(192, 0, 2, 1)) })
	s.TLS = dnsd.TLS{Cert: f.cert, Key: f.key}
	g.refused("an address of another host", s, "its peer b is at "+g.base.Peers[1].URL+", not at https://192.0.2.1:2380")
	s.Peers = s.Peers[1:]
	g.refused("an address of another host", s, "peer b https://192.0.2.1:2380", "cannot assign requested address")

	s = g.config("b")
	f = foreign.issue()
	s.TLS, s.CA = dnsd.TLS{Cert: f.cert, Key: f.key}, foreign.file
	g.refused("another CA", s, "whether a cluster runs is not known: "+s.Peers[0].URL+": tls: its certificate is not accepted")
	s = g.config("b")
	s.Peers[0].URL = strings.Replace(s.Peers[0].URL, "https:", "http:", 1)
	g.refused("http where https is", s, "whether a cluster runs is not known: "+s.Peers[0].URL+": it does not answer as a server of etcd does: is the URL's scheme right?")
	s = g.config("b")
	s.Peers = append(s.Peers, dnsd.Peer{Name: "c", URL: "https://127.0.0.1:1"})
	g.refused("other peers", s, "begins a cluster of other peers, a="+g.base.Peers[0].URL+",b="+g.base.Peers[1].URL+": write the same lines peer everywhere")
	if _, err := (Stores{}).Open(t.Context(), g.config("x"), nil); err == nil {
		t.Error("a server that is no peer started")
	}
}

func TestALogThatIsBroken(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, nil)
	g.start("a")
	g.works("a")
	g.stop("a")
	logs, err := filepath.Glob(filepath.Join(g.dirs["a"], "etcd", "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	b, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 300; i < 1000; i++ { // behind what readIdentity looks at
		b[i] ^= 0xff
	}
	if err := os.WriteFile(logs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	g.refusedToo("a log that is broken", g.config("a"), "peer a "+g.base.Peers[0].URL+": ")
}
