//go:build linux

package machines

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// lease of what the crowd registers.
const lease = 3 * time.Second

// A pulse writes at some dnsd, one write after the other at each.
type pulse struct {
	stop    context.CancelFunc
	began   time.Time
	working sync.WaitGroup

	mu      sync.Mutex // guards what follows
	longest time.Duration
	refused string // the last refusal
}

// pulse begins to write at some dnsd.
func (s *site) pulse(all ...*dnsd) *pulse {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pulse{stop: cancel, began: time.Now()}
	for _, d := range all {
		p.working.Go(func() {
			began := time.Now()
			for n := 0; ctx.Err() == nil; n++ {
				text, status, _, err := d.ask("PUT", "/v1/services/_pulse._tcp/instances/"+d.name, fmt.Sprintf(`{"port":%d,"lease":"1h"}`, 1+n%1000))
				p.mu.Lock()
				p.longest = max(p.longest, time.Since(began))
				if err != nil || status/100 != 2 {
					p.refused = fmt.Sprintf("%d %s %v", status, strings.TrimSpace(text), err)
				}
				p.mu.Unlock()
				sleep(ctx, 2*time.Millisecond)
				if err == nil && status/100 == 2 {
					began = time.Now() // else the same write is sent again
				}
			}
		})
	}
	s.t.Cleanup(func() { p.end() })
	return p
}

// end ends the pulse, and returns the longest time until a write was acknowledged, and the
// last refusal.
func (p *pulse) end() (longest time.Duration, refused string) {
	p.stop()
	p.working.Wait()
	return p.longest, p.refused
}

// lacks checks what some dnsd say of the cluster when one is dead.
func (s *site) lacks(dead *dnsd, all ...*dnsd) {
	s.t.Helper()
	for _, d := range all {
		await(s.t, "dnsd "+d.name+" misses dnsd "+dead.name, func() bool {
			c, err := d.status()
			if err != nil {
				return false
			}
			there := false
			for _, m := range c.Members {
				there = there || m.Name == dead.name && m.Error == ""
			}
			for _, m := range c.Etcd.Members {
				there = there || m.Name == dead.name && m.Error == ""
			}
			return !there
		})
		await(s.t, "dnsd "+d.name+" is ready without dnsd "+dead.name, func() bool { return d.unready() == "" })
	}
}

// away checks a dnsd whose store has just gone away: DNS goes on, is marked as stale, and
// writes are refused with a reason.
func (s *site) away(c *crowd, all ...*dnsd) {
	s.t.Helper()
	gone := time.Now()
	for _, d := range all {
		text, status, retry, err := d.ask("PUT", "/v1/services/_after._tcp/instances/away", `{"port":1}`)
		if err != nil || status != http.StatusServiceUnavailable || retry == "" {
			s.t.Errorf("dnsd %s, without its store, answers a write: %d, Retry-After %q, %s %v", d.name, status, retry, text, err)
		}
		s.t.Logf("dnsd %s refuses a write: %s", d.name, strings.TrimSpace(text))
	}
	for _, d := range all {
		await(s.t, "dnsd "+d.name+" is not ready", func() bool { return d.unready() != "" })
		await(s.t, "dnsd "+d.name+" marks its answers as stale", func() bool { return c.of(d).stale.Load() > 0 })
		s.t.Logf("dnsd %s is not ready, and its answers are stale, within %v: %s", d.name, time.Since(gone).Round(time.Millisecond), strings.TrimSpace(d.unready()))
		st, err := d.status()
		if err != nil || st.Etcd == nil || st.Etcd.Error == "" || st.Writer != "" {
			s.t.Errorf("dnsd %s, without its store, says of the cluster: %+v %+v, %v", d.name, st, st.Etcd, err)
		}
	}
}

// fresh waits until the answers of some dnsd are not stale any more.
func (s *site) fresh(all ...*dnsd) {
	s.t.Helper()
	for _, d := range all {
		await(s.t, "the answers of dnsd "+d.name+" are not stale", func() bool {
			stale, err := question(s.t.Context(), d, keptService, kept)
			return err == nil && !stale
		})
	}
}

// pass lets time pass: nothing may happen in it.
func (c *crowd) pass(d time.Duration) {
	c.t.Helper()
	select {
	case <-time.After(d):
	case <-c.t.Context().Done():
		c.t.Fatal(c.t.Context().Err())
	}
}

// digs asks a dnsd with dig for the SRV records of a service, until the answer has some
// texts.
func (d *dnsd) digs(service string, wants ...string) {
	d.t.Helper()
	var out []byte
	var err error
	late := time.Now().Add(patience)
	for {
		out, err = exec.Command("dig", "+tries=1", "+timeout=1", "-p", "5300", "@"+d.addr, service+".svc.", "SRV").CombinedOutput()
		missing := ""
		for _, want := range wants {
			if !strings.Contains(string(out), want) {
				missing = want
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(late) {
			d.t.Errorf("dig @%s %s has no %q (%v):\n%s", d.name, service, missing, err, out)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
