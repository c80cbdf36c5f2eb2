//go:build linux

package machines

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// An etcd is a server of Debian's etcd, version 3.4, on a machine of its own.
type etcd struct {
	*machine
	process *process // of its last start
	data    string   // its directory
	args    []string // of its command line
	admin   *clientv3.Client
}

// newEtcd starts a server, with more words on its command line.
func newEtcd(t *testing.T, args ...string) *etcd {
	t.Helper()
	need(t, "etcd", "etcdctl")
	e := &etcd{machine: newMachine(t), data: "data", args: args}
	e.start()
	admin, err := clientv3.New(clientv3.Config{Endpoints: []string{e.url()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	e.admin = admin
	t.Cleanup(func() { admin.Close() })
	e.answers()
	return e
}

func (e *etcd) url() string  { return "http://" + e.addr + ":2379" }
func (e *etcd) peer() string { return "http://" + e.addr + ":2380" }

// start starts it, again with what is in its directory.
func (e *etcd) start() {
	e.t.Helper()
	args := append([]string{
		"--name", "given", "--data-dir", e.data, "--logger", "zap",
		"--listen-client-urls", e.url(), "--advertise-client-urls", e.url(),
		"--listen-peer-urls", e.peer(), "--initial-advertise-peer-urls", e.peer(), "--initial-cluster", "given=" + e.peer(),
	}, e.args...)
	e.process = e.launch("etcd", nil, "etcd", args...)
}

// answers waits until it answers.
func (e *etcd) answers() {
	e.t.Helper()
	await(e.t, "etcd answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := e.admin.Get(ctx, "ready")
		return err == nil
	})
}

// do lets an operator do something.
func (e *etcd) do(what string, f func(ctx context.Context, c *clientv3.Client) error) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f(ctx, e.admin); err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
}

// ctl runs etcdctl on the machine.
func (e *etcd) ctl(args string) {
	e.t.Helper()
	p := e.launch("etcdctl", []string{"ETCDCTL_API=3"}, "etcdctl", strings.Fields(args)...)
	<-p.ended
	if p.err != nil {
		e.t.Fatalf("etcdctl %s: %v: %s", args, p.err, p.output())
	}
}

// newShared starts dnsd that share an etcd, and waits until they are ready.
func newShared(t *testing.T, e *etcd, n int) *site {
	t.Helper()
	s := &site{t: t}
	for range n {
		s.add()
	}
	for _, d := range s.dnsds {
		s.shares(d, e)
		d.start()
	}
	s.ready(s.dnsds...)
	return s
}

// shares lets a dnsd share an etcd. Its name servers are those of all.
func (s *site) shares(d *dnsd, e *etcd) {
	d.store = fmt.Sprintf("store etcd %s {\n        insecure\n        name %s\n        session %v\n    }", e.url(), d.name, session)
	d.rest = "ns ns.svc. 10.77.255.253"
}

// TestEtcdIsAway: for ten leases. DNS goes on, nothing ends, and dnsd that start meanwhile
// serve what they know.
func TestEtcdIsAway(t *testing.T) {
	need(t, "dig")
	t.Parallel()
	e := newEtcd(t)
	s := newShared(t, e, 3)
	c := s.gather()
	w := s.settled()
	again := s.others(w)[0]
	late := s.add() // it was never there before
	s.shares(late, e)
	c.pass(2 * time.Second) // for the copies
	began := time.Now()
	e.process.stop()
	s.away(c, s.others(late)...)

	c.excuse(again)
	again.process.kill()
	again.start()
	again.digs(calledService, "status: NOERROR", "EDE: 3 (Stale Answer)", "SRV")
	c.expect(again)
	late.start()
	late.digs(calledService, "status: SERVFAIL", "EDE: 14 (Not Ready)")
	late.digs("nothing._tcp", "status: SERVFAIL", "EDE: 14 (Not Ready)")
	if why := late.unready(); !strings.Contains(why, "it has no content yet") {
		t.Errorf("a dnsd without content says of being ready: %s", why)
	}
	c.pass(10*lease - time.Since(began))

	e.start()
	back := time.Now()
	for _, d := range s.dnsds {
		t.Logf("dnsd %s takes writes %v after etcd is started", d.name, s.write(d, back).Round(time.Millisecond))
	}
	s.ready(s.dnsds...)
	late.digs(calledService, "status: NOERROR")
	s.fresh(s.dnsds...)
	c.disperse()
}

// TestDnsdAreCutOffFromEtcd: first the writer, which the others can reach, then a follower.
func TestDnsdAreCutOffFromEtcd(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t)
	s := newShared(t, e, 3)
	c := s.gather()
	w := s.settled()
	others := s.others(w)
	w.cut(e.machine)
	cut := time.Now()
	for _, d := range others {
		s.within("a write at "+d.name+" after the writer "+w.name+" is cut off from etcd", s.write(d, cut), takeover)
	}
	// It does not have what the others write, and passes writes on.
	await(t, "dnsd "+w.name+" is not ready", func() bool { return w.unready() != "" })
	next := s.successor(w, others...)
	w.mend(e.machine)
	s.ready(s.dnsds...)
	if now := s.writer(); now != next {
		t.Errorf("dnsd %s is the writer, want %s", now.name, next.name)
	}
	s.fresh(s.dnsds...)

	f := s.others(next)[0]
	p := s.pulse(s.others(f)...)
	f.cut(e.machine)
	await(t, "dnsd "+f.name+" is not ready", func() bool { return f.unready() != "" })
	longest, refused := p.end()
	s.within("a write while the follower "+f.name+" is cut off from etcd", longest, 500*time.Millisecond)
	if refused != "" {
		t.Errorf("a write is refused while a follower is cut off from etcd: %s", refused)
	}
	f.mend(e.machine)
	s.ready(s.dnsds...)
	s.write(f, time.Now())
	c.disperse()
}

// TestAWriterOfEtcdLosesItsPower: as with servers inside dnsd, without an election among
// them.
func TestAWriterOfEtcdLosesItsPower(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t)
	s := newShared(t, e, 2)
	c := s.gather()
	w := s.settled()
	other := s.others(w)[0]
	c.excuse(w)
	w.unplug()
	dead := time.Now()
	w.process.kill()
	s.within("a write at "+other.name+" after the writer's machine "+w.name+" lost its power", s.write(other, dead), takeover)
	w.plug()
	w.start()
	s.ready(s.dnsds...)
	c.expect(w)
	c.excuse(other)
	other.process.kill()
	dead = time.Now()
	s.within("a write at "+w.name+" after kill -9 of the writer "+other.name, s.write(w, dead), refusedTakeover)
	other.start()
	s.ready(s.dnsds...)
	c.expect(other)
	c.disperse()
}

// TestEtcdIsCompacted: all of its history, while a follower is stopped.
func TestEtcdIsCompacted(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t)
	s := newShared(t, e, 3)
	c := s.gather()
	w := s.settled()
	f := s.others(w)[0]
	c.excuse(f)
	f.process.freeze()
	for range 20 {
		s.write(w, time.Now())
	}
	e.do("compact", func(ctx context.Context, c *clientv3.Client) error {
		r, err := c.Get(ctx, "/rollcall/svc/head")
		if err != nil {
			return err
		}
		_, err = c.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
		return err
	})
	f.process.thaw()
	thawed := time.Now()
	s.write(f, thawed)
	s.ready(s.dnsds...)
	t.Logf("dnsd %s has caught up %v after SIGCONT", f.name, time.Since(thawed).Round(time.Millisecond))
	c.expect(f)
	c.disperse()
}

// TestEtcdHasNoSpace: its quota is used up. Registrations are refused; renewals,
// deregistrations, another writer and DNS go on.
func TestEtcdHasNoSpace(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t, "--quota-backend-bytes", "4194304")
	s := newShared(t, e, 3)
	c := s.gather()
	w := s.settled()
	for _, id := range []string{"x1", "x2", "x3"} {
		if text, status, _, err := w.ask("PUT", "/v1/services/_full._tcp/instances/"+id, `{"port":1,"lease":"1h"}`); status != 201 {
			t.Fatal(status, text, err)
		}
	}
	await(t, "the spare keys are filled", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r, err := e.admin.Get(ctx, "/rollcall/svc/spare/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && r.Count == 1000
	})
	junk := strings.Repeat("junk", 100_000)
	await(t, "the quota is used up", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := e.admin.Put(ctx, fmt.Sprint("/junk/", time.Now().UnixNano()), junk)
		return err != nil && strings.Contains(err.Error(), "database space exceeded")
	})
	refused := func(d *dnsd) {
		t.Helper()
		last := ""
		await(t, "dnsd "+d.name+" refuses a registration with 507", func() bool {
			text, status, _, err := d.ask("PUT", "/v1/services/_full._tcp/instances/x9", `{"port":1}`)
			if now := fmt.Sprint(status, text, err); now != last {
				last = now
				t.Logf("dnsd %s, while etcd is full, answers a registration: %s", d.name, last)
			}
			return err == nil && status == 507
		})
	}
	removed := func(d *dnsd, id string) {
		t.Helper()
		if text, status, _, err := d.ask("DELETE", "/v1/services/_full._tcp/instances/"+id, ""); status != 204 {
			t.Errorf("dnsd %s, asked to remove %s while etcd is full: %d %s %v", d.name, id, status, text, err)
		}
		for _, d := range s.dnsds {
			await(t, "dnsd "+d.name+" has removed "+id, func() bool {
				_, status, _, err := d.ask("GET", "/v1/services/_full._tcp/instances/"+id, "")
				return err == nil && status == 404
			})
		}
	}
	for i, d := range s.dnsds {
		refused(d)
		removed(d, fmt.Sprint("x", i+1))
	}
	await(t, "the alarm is shown", func() bool {
		c, err := w.status()
		return err == nil && c.Etcd != nil && strings.Contains(c.Etcd.Error, "NOSPACE")
	})
	c.pass(2 * lease) // of renewals

	// The next writer needs no space to become it.
	c.excuse(w)
	w.process.kill()
	others := s.others(w)
	next := s.successor(w, others...)
	refused(next)
	e.do("make space", func(ctx context.Context, c *clientv3.Client) error {
		r, err := c.Delete(ctx, "/junk/", clientv3.WithPrefix())
		if err == nil {
			_, err = c.Compact(ctx, r.Header.Revision, clientv3.WithCompactPhysical())
		}
		if err == nil {
			_, err = c.Defragment(ctx, e.url())
		}
		if err == nil {
			_, err = c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
		}
		return err
	})
	disarmed := time.Now()
	for _, d := range others {
		t.Logf("dnsd %s takes registrations %v after the alarm is disarmed", d.name, s.write(d, disarmed).Round(time.Millisecond))
	}
	w.start()
	s.ready(s.dnsds...)
	c.expect(w)
	c.disperse()
}

// TestEtcdIsRestored: from a snapshot, while all dnsd run. A new life begins, above all
// revisions before, and the dnsd write back what the snapshot lacks.
func TestEtcdIsRestored(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t)
	s := newShared(t, e, 3)
	c := s.gather()
	w := s.settled()
	s.write(w, time.Now())
	e.ctl("--endpoints " + e.url() + " snapshot save backup.db")
	for range 20 {
		s.write(w, time.Now())
	}
	before, newest := w.revision(), s.number
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.record.Restore(ctx, func() {
		e.process.stop()
		e.data = "restored"
		e.ctl("snapshot restore backup.db --name given --data-dir restored --initial-cluster given=" + e.peer() + " --initial-advertise-peer-urls " + e.peer())
		e.start()
		e.answers()
	})
	if err != nil {
		t.Fatal(err)
	}
	s.ready(s.dnsds...)
	for _, d := range s.dnsds {
		if now := d.revision(); now <= before {
			t.Errorf("dnsd %s is at revision %d, before the restore it was %d", d.name, now, before)
		}
		if _, status, _, err := d.ask("GET", fmt.Sprintf("/v1/services/_after._tcp/instances/w%d", newest), ""); status != 200 {
			t.Errorf("dnsd %s has lost what the snapshot lacks: %d %v", d.name, status, err)
		}
		s.write(d, time.Now())
	}
	c.disperse()

	// All dnsd start again with an older etcd: what they have is a copy, which is older
	// than the store may be, so the store's content counts, and their revisions.
	before = s.writer().revision()
	for _, d := range s.dnsds {
		d.process.stop()
	}
	e.process.stop()
	e.data = "again"
	e.ctl("snapshot restore backup.db --name given --data-dir again --initial-cluster given=" + e.peer() + " --initial-advertise-peer-urls " + e.peer())
	e.start()
	e.answers()
	for _, d := range s.dnsds {
		d.start()
	}
	s.ready(s.dnsds...)
	if now := s.writer().revision(); now <= before {
		t.Errorf("after a restart with an older etcd the revision is %d, before it was %d", now, before)
	}
	if _, err := os.Stat(filepath.Join(e.dir, "again")); err != nil {
		t.Error(err)
	}
}
