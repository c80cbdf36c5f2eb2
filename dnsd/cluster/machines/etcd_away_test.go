//go:build linux

package machines

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

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
		s.within("a write at "+d.name+" after the writer "+w.name+" is cut off from etcd", cut, s.write(d, cut), takeover)
	}
	// It does not have what the others write, and passes writes on.
	await(t, "dnsd "+w.name+" is not ready", func() bool { return w.unready() != "" })
	next := s.successor(w, others...)
	w.mend(e.machine)
	s.ready(s.dnsds...)
	if now := s.writer(); now != next {
		tooLate(t, cut, fmt.Sprintf("dnsd %s is the writer, want %s", now.name, next.name))
	}
	s.fresh(s.dnsds...)

	f := s.others(next)[0]
	p := s.pulse(s.others(f)...)
	f.cut(e.machine)
	await(t, "dnsd "+f.name+" is not ready", func() bool { return f.unready() != "" })
	longest, refused := p.end()
	s.within("a write while the follower "+f.name+" is cut off from etcd", p.began, longest, 500*time.Millisecond)
	if refused != "" {
		tooLate(t, p.began, "a write is refused while a follower is cut off from etcd: "+refused)
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
	s.within("a write at "+other.name+" after the writer's machine "+w.name+" lost its power", dead, s.write(other, dead), takeover)
	w.plug()
	w.restart()
	s.ready(s.dnsds...)
	c.expect(w)
	c.excuse(other)
	other.process.kill()
	dead = time.Now()
	s.within("a write at "+w.name+" after kill -9 of the writer "+other.name, dead, s.write(w, dead), refusedTakeover)
	other.restart()
	s.ready(s.dnsds...)
	c.expect(other)
	c.disperse()
}
