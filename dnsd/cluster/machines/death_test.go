//go:build linux

package machines

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// takeover is how soon another dnsd takes writes when the session of the writer has to
	// end first.
	takeover = session + 2*time.Second
	// refusedTakeover is that when the host of the writer refuses connections.
	refusedTakeover = 500 * time.Millisecond
)

// TestAWriterIsKilled: kill -9. Its host refuses connections, so another dnsd takes over
// before the session ends, unless etcd has to elect its leader first.
func TestAWriterIsKilled(t *testing.T) {
	need(t)
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	w := s.settled()
	others := s.others(w)
	c.excuse(w)
	w.process.kill()
	dead := time.Now()
	for _, d := range others {
		s.within("a write at "+d.name+" after kill -9 of the writer "+w.name, dead, s.write(d, dead), refusedTakeover)
	}
	s.successor(w, others...)
	s.ready(others...)
	s.lacks(w, others...)
	w.restart()
	s.ready(s.dnsds...)
	c.expect(w)
	s.write(w, time.Now())
	c.disperse()
}

// TestAMachineLosesItsPower: nothing of the writer's machine answers any more, and nothing
// refuses, so the others wait for the end of its session.
func TestAMachineLosesItsPower(t *testing.T) {
	need(t)
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	w := s.settled()
	others := s.others(w)
	c.excuse(w)
	w.unplug()
	dead := time.Now()
	w.process.kill()
	for _, d := range others {
		s.within("a write at "+d.name+" after the writer's machine "+w.name+" lost its power", dead, s.write(d, dead), takeover)
	}
	s.successor(w, others...)
	s.ready(others...)
	s.lacks(w, others...)
	w.plug()
	w.restart()
	s.ready(s.dnsds...)
	c.expect(w)
	c.disperse()
}

// TestAWriterStops: SIGTERM. It hands over first, so that registrations wait less than
// half a second.
func TestAWriterStops(t *testing.T) {
	need(t)
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	for range 2 {
		w := s.settled()
		others := s.others(w)
		p := s.pulse(others...)
		c.excuse(w)
		began := time.Now()
		w.process.stop()
		took := time.Since(began)
		s.successor(w, others...)
		longest, refused := p.end()
		s.within("a registration while the writer "+w.name+" stops", p.began, longest, 500*time.Millisecond)
		if refused != "" {
			tooLate(t, p.began, "a registration is refused while the writer stops: "+refused)
		}
		t.Logf("dnsd %s has ended %v after SIGTERM", w.name, took.Round(time.Millisecond))
		w.restart()
		s.ready(s.dnsds...)
		c.expect(w)
	}
	c.disperse()
}

// TestAWriterIsFrozen: SIGSTOP past the session. When it goes on, it is not the writer,
// and knows that before it acknowledges anything.
func TestAWriterIsFrozen(t *testing.T) {
	need(t)
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	w := s.settled()
	others := s.others(w)
	c.excuse(w)
	w.process.freeze()
	frozen := time.Now()
	for _, d := range others {
		s.within("a write at "+d.name+" after SIGSTOP of the writer "+w.name, frozen, s.write(d, frozen), takeover)
	}
	next := s.successor(w, others...)
	w.process.thaw()
	s.write(w, time.Now()) // passed on: it is answered with a revision of the others
	s.ready(s.dnsds...)
	if now := s.writer(); now != next {
		tooLate(t, frozen, fmt.Sprintf("dnsd %s is the writer after dnsd %s goes on, want %s", now.name, w.name, next.name))
	}
	c.expect(w)
	c.disperse()
}

// TestAMinorityIsLost: a follower is killed, whose server leads those of etcd. Writes wait
// until they have another leader. If their votes are split, that can outlast the session of
// the writer.
func TestAMinorityIsLost(t *testing.T) {
	need(t)
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	w := s.settled()
	f := s.led(w)
	p := s.pulse(s.others(f)...)
	c.excuse(f)
	f.process.kill()
	s.lacks(f, s.others(f)...)
	longest, _ := p.end()
	s.within("a write after kill -9 of the follower "+f.name+", which led etcd", p.began, longest, takeover)
	f.restart()
	s.ready(s.dnsds...)
	c.expect(f)
	c.disperse()
}

// TestAMajorityIsLost: one dnsd of three is left. DNS and calls go on, writes are refused
// with a reason, and it says so.
func TestAMajorityIsLost(t *testing.T) {
	need(t, "dig")
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	last := s.others(s.writer())[0]
	others := s.others(last)
	c.excuse(others...)
	for _, d := range others {
		d.process.kill()
	}
	s.away(c, last)
	lost := c.of(last).answered.Load()
	c.pass(3 * lease)
	t.Logf("alone, dnsd %s has answered %d questions", last.name, c.of(last).answered.Load()-lost)
	for _, d := range others {
		d.restart()
	}
	back := time.Now()
	t.Logf("dnsd %s takes writes %v after the others are started", last.name, s.write(last, back).Round(time.Millisecond))
	s.ready(s.dnsds...)
	c.expect(others...)
	s.fresh(last)
	c.pass(2 * time.Second) // for the copies
	c.disperse()

	// All are dead, and one starts without the others.
	for _, d := range s.dnsds {
		d.process.kill()
	}
	alone := s.dnsds[0]
	alone.start()
	alone.process.says("started")
	alone.digs(calledService, "status: NOERROR", "EDE: 3 (Stale Answer)", "SRV")
	if why := alone.unready(); !strings.Contains(why, "its content ") {
		t.Errorf("a dnsd that serves its copy says of being ready: %q", why)
	}
	alone.process.kill()
	if err := os.Remove(filepath.Join(alone.dir, "etcd", "copy.db")); err != nil {
		t.Fatal(err)
	}
	alone.start()
	alone.process.says("started")
	alone.digs(calledService, "status: SERVFAIL", "EDE: 14 (Not Ready)")
	alone.digs("nothing._tcp", "status: SERVFAIL", "EDE: 14 (Not Ready)")
	if _, status, retry, err := alone.ask("PUT", "/v1/services/_after._tcp/instances/x", `{"port":1}`); status != http.StatusServiceUnavailable || retry == "" {
		t.Errorf("a write at a dnsd without content: %d, Retry-After %q, %v", status, retry, err)
	}
	for _, d := range s.dnsds[1:] {
		d.start()
	}
	s.ready(s.dnsds...)
	alone.digs(keptService, "status: NOERROR")
}
