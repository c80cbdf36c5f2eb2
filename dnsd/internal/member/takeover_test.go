package member

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// hosts says what connections get.
type hosts struct {
	mu      sync.Mutex
	answers map[string]error // by address; nil: it accepts
	asked   map[string]int
	times   map[string]int // how often an address gives its answer; then it accepts
}

func newHosts() *hosts {
	return &hosts{answers: map[string]error{}, asked: map[string]int{}, times: map[string]int{}}
}

func (h *hosts) probe(_ context.Context, address string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[address]++
	err := h.answers[address]
	if n, ok := h.times[address]; ok {
		if n == 0 {
			return nil
		}
		h.times[address] = n - 1
	}
	return err
}

// askedOf is how often a node was asked.
func (h *hosts) askedOf(n *node) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[n.member.cfg.Address]
}

func (h *hosts) set(n *node, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[n.member.cfg.Address] = err
}

var errRefused = fmt.Errorf("connect: %w", syscall.ECONNREFUSED)

// TestRefusalIsADeath: a writer whose host refuses connections is replaced at once, and
// only then.
func TestRefusalIsADeath(t *testing.T) {
	for name, c := range map[string]struct {
		before, after error
		times         int
		fast          bool
	}{
		"it refuses":                            {nil, errRefused, 100, true},
		"it refuses once":                       {nil, errRefused, 1, false},
		"it does not answer":                    {nil, context.DeadlineExceeded, 100, false},
		"the network refuses":                   {nil, errors.New("refused by the network"), 100, false},
		"it accepts":                            {nil, nil, 100, false},
		"it refuses, and was never reached yet": {errRefused, errRefused, 100, false},
	} {
		inBubble(t, memkv.Config{}, func(t *testing.T, cl *cluster) {
			h := newHosts()
			probe := func(cfg *Config) { cfg.Probe = h.probe }
			first := cl.prepare(probe)
			h.set(first, c.before)
			first.run()
			cl.elected()
			second, third := cl.start(probe), cl.start(probe)
			cl.settled()
			first.register(t, "a1")
			time.Sleep(3 * time.Second)
			p, _ := second.member.Writer()
			first.kill()
			h.set(first, c.after)
			h.mu.Lock()
			h.times[first.member.cfg.Address] = c.times
			h.mu.Unlock()
			began := time.Now()
			second.member.Doubt(p)
			third.member.Doubt(p)
			w := cl.elected()
			if took := time.Since(began); took < 200*time.Millisecond != c.fast {
				t.Errorf("%s: %s leads after %v", name, w.name, took)
			}
			if !w.has("a1") {
				t.Errorf("%s: a1 is lost", name)
			}
		})
	}
}

// TestDeposedWriterLives: a writer that lives and refuses connections loses nothing that it
// acknowledged, and follows.
func TestDeposedWriterLives(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		h, l := newHosts(), newLedger(t)
		probe := func(cfg *Config) { cfg.Probe = h.probe }
		first := c.start(probe)
		c.elected()
		second := c.start(probe)
		c.settled()
		time.Sleep(2 * time.Second)
		p, _ := second.member.Writer()
		h.set(first, errRefused)
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				for _, n := range c.nodes {
					if n.reg.Leads() {
						l.write(t.Context(), n, fmt.Sprint("a", i%5), false, nil)
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
		second.member.Doubt(p)
		time.Sleep(200 * time.Millisecond)
		if w := c.writer(); w != second {
			t.Errorf("the writer is still %v", w)
		}
		cancel()
		clients.Wait()
		c.settled()
		l.check(first)
		l.check(second)
		h.set(first, nil)
		time.Sleep(time.Minute)
		c.settled()
		if w := c.writer(); w != second || len(second.member.Peers()) != 2 {
			t.Errorf("later %v leads, of %v", w, second.member.Peers())
		}
	})
}

// TestDoubtOfOthersDoesNothing: only the death of the writer is in the way.
func TestDoubtOfOthersDoesNothing(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		h := newHosts()
		probe := func(cfg *Config) { cfg.Probe = h.probe }
		first := c.start(probe)
		c.elected()
		second, third := c.start(probe), c.start(probe)
		c.settled()
		time.Sleep(3 * time.Second)
		h.set(first, errRefused)
		h.set(second, errRefused)
		asked := h.askedOf(second)
		for _, p := range third.member.Peers() {
			if p.Name != first.name {
				third.member.Doubt(p)
			}
		}
		third.member.Doubt(Peer{Key: "/rollcall/svc/member/0"})
		for range 100 {
			first.member.Doubt(Peer{}) // it never waits
		}
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		if h.askedOf(second) != asked || len(third.member.Peers()) != 3 || c.writer() != first {
			t.Errorf("asked %v, members %v", h.asked, third.member.Peers())
		}
	})
}

// TestRestartedWriterLeadsAtOnce: a process with the name and the address of the one
// before does not wait for its session.
func TestRestartedWriterLeadsAtOnce(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		c.elected()
		first.register(t, "a1")
		first.kill()
		began := time.Now()
		second := c.start(func(cfg *Config) { cfg.Name, cfg.Address = "m1", "10.0.0.1:8054" })
		if w := c.elected(); w != second || time.Since(began) > 100*time.Millisecond || !second.has("a1") {
			t.Errorf("it leads after %v", time.Since(began))
		}
	})
}

// TestSameNameElsewhereIsLeftAlone: two members with one name are a mistake, and none of
// them is dead.
func TestSameNameElsewhereIsLeftAlone(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		c.elected()
		second := c.start(func(cfg *Config) { cfg.Name = "m1" })
		time.Sleep(20 * time.Second)
		if c.writer() != first || len(second.member.Peers()) != 2 || !first.log.has("has the name of this one") {
			t.Errorf("members %v", second.member.Peers())
		}
	})
}
