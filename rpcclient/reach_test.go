package rpcclient

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// fleet announces nodes "p10-0", "p10-1", ... of each priority.
func fleet(f *fakeNet, sizes map[uint16]int) eps {
	var out eps
	for priority, n := range sizes {
		for i := range n {
			addr := fmt.Sprintf("p%d-%d", priority, i)
			f.set(addr, stock(&Arith{}))
			out = append(out, resolver.Endpoint{Addr: addr, Priority: priority, Weight: 1})
		}
	}
	return out
}

// connected counts the nodes with connections, and the connections, by priority.
func connected(c *Client) (nodes, conns map[uint16]int) {
	nodes, conns = map[uint16]int{}, map[uint16]int{}
	for _, n := range c.Stats().Nodes {
		if n.Connections > 0 {
			nodes[n.Priority]++
			conns[n.Priority] += n.Connections
		}
	}
	return nodes, conns
}

// allNodes are the nodes of a client, the ones that are let go too.
func allNodes(c *Client) []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.nodes))
}

// loseConnections ends the connections to n.
func loseConnections(n *node) {
	n.mu.Lock()
	conns := slices.Collect(maps.Keys(n.all))
	n.mu.Unlock()
	for _, conn := range conns {
		conn.Fail(errors.New("lost"))
	}
}

func TestOnlyTheSubsetIsConnectedTo(t *testing.T) {
	for name, policy := range map[string]balancer.Policy{
		"a name":   balancer.Subset(3, "web-1", balancer.P2C),
		"a number": balancer.SubsetOf(3, 4, 9, balancer.P2C),
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(map[string]func(net.Conn){})
			c := fakeClient(t, f, Config{Policy: policy, Source: fleet(f, map[uint16]int{10: 50})})
			defer c.Close()
			ready(t, c)
			calls := func() (used map[string]bool) {
				used = map[string]bool{}
				for range 300 {
					var node string
					if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), OnNode(&node)); err != nil {
						t.Fatal(err)
					}
					used[node] = true
				}
				return used
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			nodes, conns := connected(c)
			if nodes[10] != 3 || conns[10] != 6 || c.Stats().Dials != 6 {
				t.Errorf("%s: %d nodes, %d connections, %d dials", name, nodes[10], conns[10], c.Stats().Dials)
			}
			before := calls()
			if len(before) != 3 {
				t.Errorf("%s: calls went to %d nodes", name, len(before))
			}
			// One of them dies, and another one replaces it until it is back.
			var dead string
			for dead = range before {
				break
			}
			f.set(dead, nil)
			loseConnections(c.member(dead))
			time.Sleep(time.Minute)
			if nodes, _ := connected(c); nodes[10] != 3 {
				t.Errorf("%s: %d nodes while one is dead", name, nodes[10])
			}
			if used := calls(); len(used) != 3 || used[dead] {
				t.Errorf("%s: calls go to %v while %s is dead", name, used, dead)
			}
			f.set(dead, stock(&Arith{}))
			time.Sleep(releaseAfter + 30*time.Second)
			synctest.Wait()
			if nodes, conns := connected(c); nodes[10] != 3 || conns[10] != 6 {
				t.Errorf("%s: %d nodes, %d connections after it came back", name, nodes[10], conns[10])
			}
			after := calls()
			for node := range before {
				if !after[node] {
					t.Errorf("%s: %s is not used any more", name, node)
				}
			}
		})
	}
}

func TestManyNodesAreNotAllConnectedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		c := fakeClient(t, f, Config{Source: fleet(f, map[uint16]int{10: 1000})})
		defer c.Close()
		ready(t, c)
		time.Sleep(time.Second)
		synctest.Wait()
		if nodes, conns := connected(c); nodes[10] != 200 || conns[10] != 400 {
			t.Errorf("%d nodes, %d connections", nodes[10], conns[10])
		}
	})
}

func TestReserveIsConnectedToWhenItIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		c := fakeClient(t, f, Config{Source: fleet(f, map[uint16]int{10: 4, 20: 6, 30: 6})})
		defer c.Close()
		ready(t, c)
		time.Sleep(time.Minute)
		synctest.Wait()
		check := func(when string, n10, n20, c20, n30 int) {
			t.Helper()
			nodes, conns := connected(c)
			if nodes[10] != n10 || nodes[20] != n20 || conns[20] != c20 || nodes[30] != n30 {
				t.Errorf("%s: nodes %v, connections %v", when, nodes, conns)
			}
		}
		down := func(addr string) {
			f.set(addr, nil)
			loseConnections(c.member(addr))
		}
		check("all is well", 4, standby, standby, 0)
		down("p10-0")
		down("p10-1")
		time.Sleep(time.Minute)
		check("half of the best are down", 2, standby, standby, 0)
		down("p10-2")
		down("p10-3")
		begin := time.Now()
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil || time.Since(begin) > 0 {
			t.Error("the first call after the last of the best went:", time.Since(begin), err)
		}
		time.Sleep(2 * time.Second)
		check("all of the best are down", 0, 6, 12, standby)
		for i := range 4 {
			f.set(fmt.Sprintf("p10-%d", i), stock(&Arith{}))
		}
		time.Sleep(10 * time.Second)
		check("they are back", 4, 6, 12, standby)
		time.Sleep(releaseAfter)
		synctest.Wait()
		check("and a minute later", 4, standby, standby, 0)
		if s := c.Stats(); s.FailedMaybe+s.FailedNever > 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestDialsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		var out, greatest int
		slowly := f.gate(func(d int) { out += d; greatest = max(greatest, out) })
		c, err := New("_math._tcp.svc", &Config{Source: fleet(f, map[uint16]int{10: 1000}), Conn: ConnConfig{Dial: slowly}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if greatest > maxDialling || greatest < maxDialling/2 {
			t.Errorf("%d dials at once", greatest)
		}
	})
}

// TestSubstitutesAreBounded: nodes that do not serve have as many substitutes as there are
// nodes to connect to, and no more, whether these serve or not. Each is tried.
func TestSubstitutesAreBounded(t *testing.T) {
	for name, cfg := range map[string]Config{
		"MaxNodes": {Conn: ConnConfig{MaxNodes: 4, PerNode: 1}},
		"a subset": {Conn: ConnConfig{PerNode: 1}, Policy: balancer.Subset(4, "web-1", balancer.P2C)},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(map[string]func(net.Conn){})
			f.room = true
			cfg.Source = fleet(f, map[uint16]int{10: 30})
			all := map[string]*speaker{}
			for _, e := range cfg.Source.(eps) {
				all[e.Addr] = &speaker{reply: multiplies, pong: answer{NotExecuted: true}}
				f.set(e.Addr, all[e.Addr].serve)
			}
			c := fakeClient(t, f, cfg)
			defer c.Close()
			ready(t, c)
			most := 0
			for range 3 * 60 {
				time.Sleep(time.Second)
				_, conns := connected(c)
				most = max(most, conns[10])
			}
			if most < 4 || most > 8 {
				t.Errorf("%s: up to %d connections while no node serves, want 4 to 8", name, most)
			}
			for addr, s := range all {
				if s.connections() == 0 {
					t.Errorf("%s: %s was never asked whether it serves", name, addr)
				}
				s.ponders(answer{})
			}
			time.Sleep(releaseAfter + 15*time.Second)
			if _, conns := connected(c); conns[10] != 4 {
				t.Errorf("%s: %d connections when all serve", name, conns[10])
			}
		})
	}
}
