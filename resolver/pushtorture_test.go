package resolver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shredded is a connection that gives a few octets at a time, and ends after some, wherever
// that is in a message.
type shredded struct {
	net.Conn
	mu   sync.Mutex
	rnd  *rand.Rand
	left int // octets; below 0: no end
}

// part says how many octets pass, at most n. 0: the connection ends.
func (c *shredded) part(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rnd.IntN(3) > 0 {
		n = 1 + c.rnd.IntN(n)
	}
	if c.left >= 0 {
		n = min(n, c.left)
		c.left -= n
	}
	return n
}

func (c *shredded) Read(p []byte) (int, error) {
	n := c.part(len(p))
	if n == 0 {
		c.Conn.Close()
	}
	return c.Conn.Read(p[:max(n, 1)])
}

func (c *shredded) Write(p []byte) (wrote int, err error) {
	for wrote < len(p) && err == nil {
		n := c.part(len(p) - wrote)
		if n == 0 {
			c.Conn.Close()
		}
		n, err = c.Conn.Write(p[wrote : wrote+max(n, 1)])
		wrote += n
	}
	return wrote, err
}

// TestSessionsThatBreakAnywhere: connections give octets one by one and end in the middle of
// anything, while sets of one and of many messages change. What the client says it was told is
// a set that there was, whole, and never an older one after a newer. In the end it is the
// truth, and with the Watch all is over.
func TestSessionsThatBreakAnywhere(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			rnd, ends := rand.New(rand.NewPCG(seed, 7)), rand.New(rand.NewPCG(seed, 8))
			p := newPush()
			host := newServer(p.handler(t))
			host.push = p
			r := fakeNet{"ns1:53": host}.client("ns1")
			var mu sync.Mutex
			breaks := true
			inner := r.Dial
			r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := inner(ctx, network, addr)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || network == "udp" {
					return conn, err
				}
				left := -1
				if breaks {
					left = ends.IntN([]int{60, 200, 5000, 80_000}[ends.IntN(4)])
				}
				return &shredded{Conn: conn, rnd: rand.New(rand.NewPCG(seed, ends.Uint64())), left: left}, nil
			}
			sizes := map[uint64]int{}
			change := func(n int) {
				rev := p.revision + 1 // no other goroutine changes it
				sizes[rev] = n
				p.become(mathTCP, append(instances(t, n), rrs(t,
					fmt.Sprintf("%s 5 IN SRV 0 1 %d now.math.tcp.svc.", mathTCP, 1000+rev), "now.math.tcp.svc. 5 IN A 10.1.1.1")...)...)
			}
			change(5)
			w := watch(t, r, mathTCP)
			last := uint64(0)
			look := func() {
				synctest.Wait()
				f, got := r.Freshness(mathTCP), w.last()
				if f.By != "push" {
					return
				}
				if f.Revision < last {
					t.Errorf("seed %d: revision %d after %d", seed, f.Revision, last)
				}
				last = f.Revision
				now := ""
				for _, ep := range got.Endpoints {
					if ep.Target == "now.math.tcp.svc." {
						now = ep.Addr
					}
				}
				if len(got.Endpoints) != sizes[last]+1 || now != fmt.Sprintf("10.1.1.1:%d", 1000+last) {
					t.Errorf("seed %d: told revision %d of %d, but there are %d endpoints, and %s", seed, last, sizes[last]+1, len(got.Endpoints), now)
				}
			}
			for range 40 {
				change([]int{0, 5, 6, 300}[rnd.IntN(4)])
				look()
				time.Sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
				look()
			}
			mu.Lock()
			breaks = false
			mu.Unlock()
			p.cut()
			time.Sleep(2 * maxPushBackoff)
			look()
			if f := r.Freshness(mathTCP); f.By != "push" || f.Revision != p.revision {
				t.Errorf("seed %d: in the end %+v, the truth has revision %d", seed, f, p.revision)
			}
			w.close()
			time.Sleep(ended)
		})
	}
}
