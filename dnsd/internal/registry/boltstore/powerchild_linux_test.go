package boltstore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
)

// powerChildEnv tells the test binary to be the process whose machine loses power. Its
// value is the seed, the habit, the number of commits, what the child does at the end,
// and the path of the store.
const powerChildEnv = "ROLLCALL_POWER_CHILD"

// powerChild makes commits, and says what it asks and what the store answers.
func powerChild(job string) {
	runtime.LockOSThread() // strace counts calls by thread
	var seed uint64
	var habit, count int
	var end string
	f := strings.SplitN(job, " ", 5)
	if _, err := fmt.Sscan(strings.Join(f[:4], " "), &seed, &habit, &count, &end); err != nil {
		panic(err)
	}
	say := func(words ...any) { fmt.Print(sayMark, fmt.Sprintln(words...)) }
	defer os.Exit(0)
	s, err := boltstore.Open(f[4])
	if err != nil {
		say("refused", err)
		return
	}
	has, err := contentOf(s)
	if err != nil {
		say("refused", err)
		return
	}
	say("open")
	source := commitsOf(seed, habit)
	for range count {
		next := has.clone()
		b := source.next(next)
		say("ask")
		switch err := s.Commit(b); {
		case err == nil:
			has = next
			say("ack")
		case strings.Contains(err.Error(), "could not be restored"):
			say("broken", err)
			return
		default:
			say("fail", err)
		}
	}
	if end == "close" {
		say("close")
		say("closed", s.Close())
	}
}

// Habits of a process: which sorts of commits it makes.
const (
	habitAny   = iota
	habitGrow  // so that the file becomes longer
	habitSmall // so that the root page holds everything
	habits
)

// commits is the source of the commits of a life. The child and the test draw the same
// from it.
type commits struct {
	rnd   *rand.Rand
	sorts []int
}

func commitsOf(seed uint64, habit int) commits {
	return commits{rand.New(rand.NewPCG(seed, 77)), [habits][]int{
		habitAny:   {putOne, putMany, putBig, deleteOne, deleteMost, fenceSome, unfenceAll, nothing},
		habitGrow:  {putMany, putMany, putBig, deleteOne, fenceSome},
		habitSmall: {putOne, deleteOne, deleteMost, fenceSome, unfenceAll},
	}[habit]}
}

// next changes c, and returns the change.
func (s commits) next(c *content) *registry.Batch {
	return c.batch(s.rnd, s.sorts[s.rnd.IntN(len(s.sorts))])
}

// oracle follows what a child says, and knows what its store may hold.
type oracle struct {
	has   *content // what was acknowledged
	asks  *content // has with the commit in flight, or nil
	found *content // what the child finds when it opens the store, if that is known before
	from  commits
	texts map[*content]string
}

func (o *oracle) hear(said string) {
	switch word, _, _ := strings.Cut(said, " "); word {
	case "open":
		o.has, o.asks = o.found, nil
	case "ask":
		o.asks = o.has.clone()
		o.from.next(o.asks)
	case "ack":
		o.has, o.asks = o.asks, nil
	case "fail":
		o.asks = nil
	}
}

func (o *oracle) allows(c *content) bool {
	got := c.String()
	return got == o.text(o.has) || o.asks != nil && got == o.text(o.asks)
}

// text returns has or asks as a string, and keeps it: it is compared many times.
func (o *oracle) text(c *content) string {
	if o.texts == nil {
		o.texts = map[*content]string{}
	}
	if o.texts[c] == "" {
		o.texts[c] = c.String()
	}
	return o.texts[c]
}
