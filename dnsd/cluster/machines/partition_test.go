//go:build linux

package machines

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// host is the machine of the test: of servers and clients.
func (s *site) host() *machine { return &machine{t: s.t, addr: here} }

// TestAWriterIsCutOff: from the other dnsd, and so from the store. Its servers and clients
// still reach it: it answers them with what it knows, and acknowledges nothing.
func TestAWriterIsCutOff(t *testing.T) {
	need(t)
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	w := s.settled()
	others := s.others(w)
	for _, d := range others {
		w.cut(d.machine)
	}
	cut := time.Now()
	for _, d := range others {
		s.within("a write at "+d.name+" after the writer "+w.name+" is cut off", cut, s.write(d, cut), takeover)
	}
	s.away(c, w)
	if text, status, _, err := w.ask("PUT", "/v1/services/_after._tcp/instances/away", `{"port":1}`); !strings.Contains(text, "the store has not answered for") {
		t.Errorf("dnsd %s refuses a write, and does not say that the store is away: %d %s %v", w.name, status, text, err)
	}
	next := s.successor(w, others...)
	s.ready(others...)
	for _, d := range others {
		w.mend(d.machine)
	}
	mended := time.Now()
	t.Logf("dnsd %s takes writes %v after it is reached again", w.name, s.write(w, mended).Round(time.Millisecond))
	s.ready(s.dnsds...)
	if now := s.writer(); now != next {
		tooLate(t, mended, fmt.Sprintf("dnsd %s is the writer, want %s, which was it before the network was mended", now.name, next.name))
	}
	c.disperse()
}

// TestAFollowerIsCutOff: no write at the others waits for it.
func TestAFollowerIsCutOff(t *testing.T) {
	need(t)
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	w := s.settled()
	f := s.others(w, s.led(w))[0]
	others := s.others(f)
	p := s.pulse(others...)
	for _, d := range others {
		f.cut(d.machine)
	}
	s.away(c, f)
	longest, refused := p.end()
	s.within("a write while the follower "+f.name+" is cut off", p.began, longest, 500*time.Millisecond)
	if refused != "" || s.writer(others...) != w {
		tooLate(t, p.began, "the others notice that a follower is cut off: "+refused)
	}
	for _, d := range others {
		f.mend(d.machine)
	}
	s.ready(s.dnsds...)
	s.write(f, time.Now())
	c.disperse()
}

// TestADnsdIsCutOffFromItsServers: from all servers and clients, but not from the other
// dnsd. It remains the writer, and servers and clients use the others.
func TestADnsdIsCutOffFromItsServers(t *testing.T) {
	need(t)
	t.Parallel()
	s := newCluster(t)
	c := s.gather()
	w := s.settled()
	others := s.others(w)
	c.excuse(w)
	w.cut(s.host())
	cut := time.Now()
	for _, d := range others {
		s.within("a write at "+d.name+" after the writer "+w.name+" is cut off from servers", cut, s.write(d, cut), 500*time.Millisecond)
	}
	c.pass(2 * lease)
	if now := s.writer(others...); now != w {
		tooLate(t, cut, fmt.Sprintf("dnsd %s became the writer", now.name))
	}
	w.mend(s.host())
	s.ready(s.dnsds...)
	c.expect(w)
	c.disperse()
}
