package member

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// machine is a cluster to which random things happen, while clients write.
type machine struct {
	*cluster
	ledger  *ledger
	all     *chronicle
	clients sync.WaitGroup
	mu      sync.Mutex      // guards busy
	busy    map[string]bool // ids with a request under way
	full    bool
}

// event is something that happens, with numbers that say to whom and how.
type event struct {
	what    string
	who, by int
	many    []int
}

var happenings = []string{
	"write", "write", "write many", "remove", "sleep", "sleep", "start", "kill", "stop", "link", "mend link",
	"slow", "slow answers", "lose", "arrive", "compact", "full", "store stops", "store starts", "clients end",
}

// events draws what happens.
func events(most int) *rapid.Generator[[]event] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
		return event{
			rapid.SampledFrom(happenings).Draw(t, "what"), rapid.IntRange(0, 3).Draw(t, "who"),
			rapid.IntRange(0, 20).Draw(t, "by"), rapid.SliceOfN(rapid.IntRange(0, 20), 1, 10).Draw(t, "many"),
		}
	}), 1, most)
}

// TestAnythingMayHappen: members start, stop and die, links break and hang, replies are
// lost, the store stops, is compacted and becomes full, and clients write all the time.
// Always, one revision has one content everywhere, no two members lead, and what was
// acknowledged is there. Afterwards everything works again.
func TestAnythingMayHappen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := rapid.SampledFrom([]int{20, 10_000}).Draw(rt, "history")
		all := events(40).Draw(rt, "events")
		try(t, rt, memkv.Config{History: history}, func(c *cluster) {
			m := &machine{cluster: c, ledger: newLedger(c.t), all: newChronicle(), busy: map[string]bool{}}
			m.join()
			m.elected()
			for _, e := range all {
				m.happens(e)
				synctest.Wait()
				m.check()
				if c.t.Failed() {
					c.t.Logf("after %+v", e)
					return
				}
			}
			m.finish()
		})
	})
}

// join starts a member whose changes the chronicle hears.
func (m *machine) join() *node {
	m.t.Helper()
	n := m.all.record(m.t, m.prepare())
	n.run()
	go n.knowsItself(m.t)
	return n
}

// knowsItself looks at every change of what a member says of the members, until it ends:
// it takes itself for no other, to which writes would be passed on.
func (n *node) knowsItself(t testing.TB) {
	for {
		changed := n.member.Changed()
		for _, p := range n.member.Peers() {
			if p.Self != (p.Name == n.name) {
				t.Errorf("%s takes %s for itself: %t", n.name, p.Name, p.Self)
			}
		}
		select {
		case <-changed:
		case <-n.over:
			return
		}
	}
}

// happens does one thing.
func (m *machine) happens(e event) {
	var n *node
	if up := m.up(); len(up) > 0 {
		n = up[e.who%len(up)]
	}
	switch e.what {
	case "write":
		m.request(e.by, false)
	case "remove":
		m.request(e.by, true)
	case "write many":
		for _, by := range e.many {
			m.request(by, by > 13)
		}
	case "sleep":
		time.Sleep([]time.Duration{time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 7 * time.Second, 12 * time.Second}[e.by%6])
	case "start":
		if len(m.up()) < 4 {
			m.join()
		}
	case "compact":
		_ = m.store.Compact(0)
	case "full":
		m.full = !m.full
		m.all.mu.Lock()
		m.all.gaps = true // of spare keys that are deleted after an outcome is unknown
		m.all.mu.Unlock()
		m.store.SetFull(m.full)
	case "store stops":
		m.store.Stop()
	case "store starts":
		m.store.Start()
	case "clients end":
		m.clients.Wait()
	default:
		if n != nil {
			m.happensTo(n, e)
		}
	}
}

// happensTo does one thing to a member.
func (m *machine) happensTo(n *node, e event) {
	switch e.what {
	case "kill":
		n.kill()
	case "stop":
		n.stop()
	case "link":
		n.link.SetLink([]memkv.Link{memkv.Cut, memkv.Hang, memkv.HangReplies, memkv.Deny}[e.by%4])
	case "mend link":
		n.link.SetLink(memkv.Up)
	case "slow":
		n.link.Delay(time.Duration(e.by) * 5 * time.Millisecond)
	case "slow answers":
		n.link.DelayAnswers(time.Duration(e.by%7) * 20 * time.Millisecond)
	case "lose":
		for _, by := range e.many[:min(len(e.many), 3)] {
			n.link.Lose([]memkv.Loss{memkv.LostRequest, memkv.LostReply, memkv.Late}[by%3])
		}
	case "arrive":
		n.link.Arrive()
	default:
		m.t.Fatalf("%q is nothing", e.what)
	}
}

// up is the members that run.
func (m *machine) up() []*node {
	var all []*node
	for _, n := range m.nodes {
		if !n.down {
			all = append(all, n)
		}
	}
	return all
}

// request lets a client write to the member that leads, in the background, unless it has a
// request under way.
func (m *machine) request(id int, removes bool) {
	for _, n := range m.up() {
		if !n.reg.Leads() {
			continue
		}
		name := fmt.Sprint("a", id%10)
		m.mu.Lock()
		busy := m.busy[name]
		m.busy[name] = true
		m.mu.Unlock()
		if busy {
			continue
		}
		m.clients.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			m.ledger.write(ctx, n, name, removes, nil)
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.busy, name)
		})
	}
}

// check is what must always be true.
func (m *machine) check() {
	m.t.Helper()
	var leaders []string
	for _, n := range m.up() {
		m.all.note(m.t, n)
		if n.mayAcknowledge() {
			leaders = append(leaders, n.name)
		}
	}
	if len(leaders) > 1 {
		m.t.Errorf("%v lead at the same time", leaders)
	}
}

// mayAcknowledge says whether the member of a node acknowledges renewals now.
func (n *node) mayAcknowledge() bool {
	_, err := n.reg.RenewAll(context.Background(), []registry.Renewal{{Key: registration("none").Key}})
	return err == nil
}

// finish lets everything work again, and checks what is there then.
func (m *machine) finish() {
	m.t.Helper()
	m.store.Start()
	m.full = false
	m.store.SetFull(false)
	for _, n := range m.up() {
		n.link.SetLink(memkv.Up)
		n.link.Delay(0)
		n.link.DelayAnswers(0)
		n.link.Lose() // what is left of losses happens to requests that are sent again
	}
	m.clients.Wait()
	if len(m.up()) == 0 {
		m.join()
	}
	m.settled()
	for _, n := range m.nodes {
		n.link.Arrive()
	}
	time.Sleep(40 * time.Second) // the spare keys and what is owed
	w := m.settled()
	m.check()
	m.ledger.check(w)
	m.stored(w)
	m.ledger.write(context.Background(), w, "z", false, nil)
	m.join()
	w = m.settled()
	for _, n := range m.up() {
		m.ledger.check(n)
		m.all.note(m.t, n)
		if got, want := fencesText(n.reg.Content()), fencesText(w.reg.Content()); got != want {
			m.t.Errorf("%s has fences\n%s\nthe writer\n%s", n.name, got, want)
		}
		if err := n.member.Ready(); err != nil {
			m.t.Errorf("%s: %v", n.name, err)
		}
	}
}
