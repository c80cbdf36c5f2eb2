package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// cluster is several members that share a store in memory, in one synctest bubble.
type cluster struct {
	t     testing.TB
	store *memkv.Cluster
	nodes []*node
	next  int
}

// node is one member.
type node struct {
	name   string
	link   *memkv.Store
	reg    *registry.Registry
	member *Member
	log    *logBuffer

	cancel context.CancelFunc
	over   <-chan struct{} // closed when it is told to stop
	done   chan error      // of Run
	down   bool
}

func newCluster(t testing.TB, c memkv.Config) *cluster {
	return &cluster{t: t, store: memkv.New(c)}
}

// start starts a member. edit may change its Config.
func (c *cluster) start(edit ...func(*Config)) *node {
	c.t.Helper()
	n := c.prepare(edit...)
	n.run()
	return n
}

// prepare makes a member that does not run yet.
func (c *cluster) prepare(edit ...func(*Config)) *node {
	c.t.Helper()
	c.next++
	n := &node{name: fmt.Sprintf("m%d", c.next), log: &logBuffer{}, done: make(chan error, 1)}
	n.link = c.store.Open(n.name)
	logger := slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	reg, err := registry.Open(registry.Config{Follow: true, Revision: 1000, Guard: registry.Guard{NoProbe: true}, Logger: logger})
	if err != nil {
		c.t.Fatal(err)
	}
	n.reg = reg
	cfg := Config{
		Store: n.link, Registry: reg, Prefix: under.prefix, Zone: "svc.", Name: n.name,
		Address: net.JoinHostPort("10.0.0."+fmt.Sprint(c.next), "8054"), Hook: "http://10.0.0." + fmt.Sprint(c.next) + ":8053",
		Certificate: fmt.Sprintf("%064x", c.next), Version: "test", Logger: logger,
		Probe: func(context.Context, string) error { return nil },
	}
	for _, e := range edit {
		e(&cfg)
	}
	n.member, err = New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes = append(c.nodes, n)
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.over = cancel, ctx.Done()
	var both sync.WaitGroup
	both.Go(func() { n.reg.Run(ctx) })
	go func() {
		err := n.member.Run(ctx)
		cancel()
		both.Wait()
		n.done <- err
	}()
}

// stop stops a member cleanly.
func (n *node) stop() error {
	if n.down {
		return nil
	}
	n.down = true
	n.cancel()
	err := <-n.done
	n.reg.Close()
	n.link.Close()
	return err
}

// kill ends a member without a word to the store.
func (n *node) kill() {
	n.link.Close()
	n.stop()
}

// close stops everything that runs.
func (c *cluster) close() {
	c.store.Start()
	c.store.SetFull(false)
	for _, n := range c.nodes {
		if !n.down {
			n.link.SetLink(memkv.Up)
			n.stop()
		}
	}
	if c.t.Failed() {
		for _, n := range c.nodes {
			c.t.Logf("%s:\n%s", n.name, n.log)
		}
	}
}

// two starts two members. The first leads.
func (c *cluster) two() (first, second *node) {
	c.t.Helper()
	first = c.start()
	c.elected()
	second = c.start()
	c.settled()
	return first, second
}

// writer returns the node that leads, after everything has settled.
func (c *cluster) writer() *node {
	synctest.Wait()
	var all []*node
	for _, n := range c.nodes {
		if !n.down && n.reg.Leads() {
			all = append(all, n)
		}
	}
	if len(all) != 1 {
		return nil
	}
	return all[0]
}

// elected waits until one of the running members leads.
func (c *cluster) elected() *node {
	c.t.Helper()
	for range 6000 {
		if n := c.writer(); n != nil {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("no member leads after a minute")
	return nil
}

// settled waits until all running members have what the writer has.
func (c *cluster) settled() *node {
	c.t.Helper()
	w := c.elected()
	for range 3000 {
		synctest.Wait()
		same := true
		for _, n := range c.nodes {
			same = same && (n.down || n.reg.Revision() == w.reg.Revision() && n.reg.Life() == w.reg.Life())
		}
		if same {
			c.equal()
			return w
		}
		time.Sleep(10 * time.Millisecond)
		w = c.elected()
	}
	for _, n := range c.nodes {
		c.t.Logf("%s: life %v, revision %d, down %t", n.name, n.reg.Life(), n.reg.Revision(), n.down)
	}
	c.t.Fatal("the members do not agree after 30 seconds")
	return nil
}

// equal compares the contents of members that are at the same revision.
func (c *cluster) equal() {
	c.t.Helper()
	type place struct {
		life     registry.Life
		revision uint64
	}
	known := map[place]string{}
	of := map[place]string{}
	for _, n := range c.nodes {
		if n.down || !n.reg.Loaded() {
			continue
		}
		content := n.reg.Content()
		at := place{content.Life, content.Revision}
		text := contentText(content)
		if was, ok := known[at]; ok && was != text {
			c.t.Fatalf("at revision %d, %s has\n%s\nand %s has\n%s", at.revision, of[at], was, n.name, text)
		}
		known[at], of[at] = text, n.name
	}
}

// contentText is all instances.
func contentText(c registry.Content) string {
	var b strings.Builder
	for in := range c.Instances {
		b.Write(encode(registry.NewRecord(in)))
		b.WriteByte('\n')
	}
	return b.String()
}

// fencesText is all fences, in the order of their keys.
func fencesText(c registry.Content) string {
	var all []string
	for f := range c.Fences {
		all = append(all, fmt.Sprint(f.Key, f.Incarnation, f.Drained))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// stored compares the store with the registry of a node.
func (c *cluster) stored(n *node) {
	c.t.Helper()
	l := whole(c.t, c.store)
	if l.head == nil || l.pos.revision != n.reg.Revision() || l.pos.life != n.reg.Life() {
		c.t.Fatalf("the store is at %d in life %v, %s at %d in life %v", l.pos.revision, l.pos.life, n.name, n.reg.Revision(), n.reg.Life())
	}
	if got, want := contentText(l.content()), contentText(n.reg.Content()); got != want {
		c.t.Fatalf("the store has\n%s\nand %s has\n%s", got, n.name, want)
	}
}

// registration is an instance to be registered.
func registration(id string) registry.Instance {
	return registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: id}, Host: "10.0.0.7", Port: 9001, Priority: 10, Weight: 100, Lease: time.Hour}
}

func (n *node) register(t testing.TB, id string) registry.Receipt {
	t.Helper()
	got, err := n.reg.Register(context.Background(), registration(id))
	if err != nil {
		t.Fatalf("%s: register %s: %v\n%s", n.name, id, err, n.log)
	}
	return got
}

func (n *node) has(id string) bool {
	_, ok := n.reg.Instance(registry.Key{Service: "_math._tcp", ID: id})
	return ok
}

// logBuffer is a log that a test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) has(words string) bool { return strings.Contains(l.String(), words) }

func (l *logBuffer) count(words string) int { return strings.Count(l.String(), words) }

// inBubble runs a test with a cluster.
func inBubble(t *testing.T, config memkv.Config, f func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, config)
		defer c.close()
		f(t, c)
	})
}

func TestMembersFollowTheWriter(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		if w := c.elected(); w != first {
			t.Fatalf("%s leads", w.name)
		}
		first.register(t, "a1")
		c.start()
		c.start()
		first.register(t, "a2")
		w := c.settled()
		if w != first {
			t.Errorf("%s leads", w.name)
		}
		for _, n := range c.nodes {
			if !n.has("a1") || !n.has("a2") || n.member.Ready() != nil {
				t.Errorf("%s has not all, or is not ready: %v", n.name, n.member.Ready())
			}
		}
		if _, err := c.nodes[1].reg.Register(t.Context(), registration("a3")); !errors.Is(err, registry.ErrNotWriter) {
			t.Errorf("a registration at a follower: %v", err)
		}
		c.stored(w)
	})
}

// TestFailover: when the writer dies, another leads after its session, in the same life.
func TestFailover(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		first.register(t, "a1")
		c.settled()
		life := first.reg.Life()
		revision := first.reg.Revision()
		first.kill()
		began := time.Now()
		w := c.elected()
		if took := time.Since(began); w != second || took > 5*time.Second+time.Second || took < 3*time.Second {
			t.Errorf("%s leads after %v", w.name, took)
		}
		if second.reg.Life() != life || second.reg.Revision() != revision {
			t.Errorf("revision %d in life %v, want %d in %v", second.reg.Revision(), second.reg.Life(), revision, life)
		}
		if got := second.register(t, "a2"); got.Revision != revision+1 {
			t.Errorf("the next revision is %d after %d", got.Revision, revision)
		}
		c.stored(second)
	})
}

// TestCleanStop: another member leads at once.
func TestCleanStop(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		first.register(t, "a1")
		synctest.Wait()
		began := time.Now()
		if err := first.stop(); err != nil {
			t.Error(err)
		}
		if w := c.elected(); w != second || time.Since(began) > 100*time.Millisecond {
			t.Errorf("%s leads after %v", w.name, time.Since(began))
		}
		second.register(t, "a2")
		c.stored(second)
	})
}

// TestResignedMemberFollows: it serves on while its requests end.
func TestResignedMemberFollows(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first, second := c.two()
		if err := first.member.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if first.reg.Leads() {
			t.Error("it leads")
		}
		if w := c.elected(); w != second {
			t.Errorf("%s leads", w.name)
		}
		second.register(t, "a1")
		time.Sleep(time.Minute)
		c.settled()
		if !first.has("a1") || len(first.member.Peers()) != 1 {
			t.Errorf("it does not follow, or is listed: %v", first.member.Peers())
		}
	})
}
