package member

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// besideServer is a store with a server in this process, which counts how often it is told
// to let another lead.
type besideServer struct {
	kv.Store
	told atomic.Int64
	err  error
}

func (s *besideServer) StepAside(context.Context) error {
	s.told.Add(1)
	return s.err
}

// TestTheWritersServerStepsAside: the store's servers are led by another dnsd than the
// writer, whichever that is, and even if that does not work the writer goes on.
func TestTheWritersServerStepsAside(t *testing.T) {
	for _, err := range []error{nil, errors.New("no other server can be reached")} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			stores := map[*node]*besideServer{}
			start := func() *node {
				s := &besideServer{err: err}
				n := c.start(func(cfg *Config) {
					s.Store = cfg.Store
					cfg.Store = s
				})
				stores[n] = s
				return n
			}
			first := start()
			c.elected()
			second := start()
			c.settled()
			time.Sleep(3 * time.Second)
			if a, b := stores[first].told.Load(), stores[second].told.Load(); a == 0 || b != 0 {
				t.Errorf("the writer's server was told %d times, the follower's %d times", a, b)
			}
			first.register(t, "a1")
			first.stop()
			if c.settled() != second {
				t.Fatal("the other does not lead")
			}
			time.Sleep(3 * time.Second)
			if stores[second].told.Load() == 0 {
				t.Error("the new writer's server was never told")
			}
		})
	}
}
