package testenv

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
	"github.com/rollcall-dns/rollcall/register"
)

// fault is one step of a wrecker: what is done, to which dnsd, and how. Which of the
// numbers matter depends on what is done.
type fault struct {
	what, i, j int
	how        int // of three ways
	pause      time.Duration
}

// draw takes the same count of numbers for each fault, so that a seed draws the same
// faults, whatever becomes of them.
func draw(random *rand.Rand) fault {
	i := random.IntN(3)
	return fault{
		what: random.IntN(14), i: i, j: (i + 1 + random.IntN(2)) % 3, how: random.IntN(3),
		pause: time.Duration(random.Int64N(int64(700 * time.Millisecond))),
	}
}

// A wrecker breaks things, and mends them.
//
// One dnsd is never killed or stopped. It has the whole registry in memory, so no other
// life may begin. But a dnsd that has just started does not know that, and it must not be
// the only one that reaches the store. So, before one starts, there is a writer, and the way
// from it to the new one is whole until the new one has seen a commit. In a full store,
// there is none before it has room.
//
// The store is compacted only if the lasting dnsd has everything. Else it would read
// everything again. A watcher is not told then what has changed meanwhile, and the checker
// of the history has to know each change.
type wrecker struct {
	*Env
	lasting int  // the dnsd that is never killed
	stopped bool // the store
	full    bool // the store
}

// do does one thing, and says what.
func (w *wrecker) do(f fault) string {
	name := func(i int) string { return "dnsd " + string(letters[i]) }
	b := []Break{Whole, Cut, Stuck}[f.how]
	if b == Stuck && f.pause%2 == 1 { // no other number is drawn for it, so that each seed draws what it did
		b = Deaf
	}
	switch f.what {
	case 0, 1:
		w.Break(StoreLink(f.i), b)
		return "link of " + name(f.i) + " to the store: " + b.String()
	case 2:
		w.Break(PeerLink(f.i, f.j), b)
		return "link of " + name(f.i) + " and " + name(f.j) + ": " + b.String()
	case 3:
		w.Break(HookLink(f.i), b)
		return "link to the hook of " + name(f.i) + ": " + b.String()
	case 4:
		if w.stopped = !w.stopped; w.stopped {
			w.Store().Stop()
			return "the store stops"
		}
		w.Store().Start()
		return "the store starts"
	case 5:
		w.full = !w.full
		w.Store().SetFull(w.full)
		if w.full {
			return "the store is full"
		}
		return "the store has room"
	case 6:
		return w.compact()
	case 7, 8:
		w.connection(f.i).Lose([]memkv.Loss{memkv.LostRequest, memkv.LostReply, memkv.Late}[f.how])
		return "of the next transaction of " + name(f.i) + ", " + [...]string{"the request is lost", "the answer is lost", "the request comes late"}[f.how]
	case 9:
		w.arrive()
		return "what was late arrives"
	}
	d := w.dnsds[f.i]
	switch {
	case d.running == nil:
		w.start(f.i)
		return "start of " + name(f.i)
	case d.paused:
		w.ResumeDNSD(f.i)
		return "end of the pause of " + name(f.i)
	case f.how == 0:
		w.PauseDNSD(f.i)
		return "pause of " + name(f.i)
	case f.i == w.lasting:
		return name(f.i) + " runs on"
	case f.how == 1:
		w.KillDNSD(f.i)
		return "kill of " + name(f.i)
	}
	w.StopDNSD(f.i)
	return "stop of " + name(f.i)
}

// compact lets the store forget what is older than the head, if the lasting dnsd has that,
// and says so.
func (w *wrecker) compact() string {
	w.t.Helper()
	store := w.Store().cluster.Open("wrecker")
	defer store.Close()
	head, _, err := store.Get(w.ctx, "/rollcall/svc/head")
	if err != nil {
		return "the store is not compacted: " + err.Error()
	}
	var is struct{ Revision uint64 }
	if err := json.Unmarshal(head.Value, &is); err != nil {
		w.t.Fatal(err)
	}
	has, err := w.services(w.ctx, w.lasting)
	if err != nil {
		w.t.Fatal(err)
	}
	if has.Revision < is.Revision {
		return "the store is not compacted, because the lasting dnsd needs what is in it"
	}
	if err := w.Store().cluster.Compact(head.Modified); err != nil {
		return "the store is not compacted again"
	}
	return "the store is compacted"
}

// connection is the last one of dnsd i to the store.
func (w *wrecker) connection(i int) *memkv.Store {
	s := w.dnsds[i].stores.(*stores)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[len(s.open)-1]
}

// arrive lets all transactions arrive that are late.
func (w *wrecker) arrive() {
	for i := range w.dnsds {
		w.connection(i).Arrive()
	}
}

// start starts dnsd i, and waits until it has seen that there is a writer. If the store is
// full and there is a writer, it starts in the full store.
func (w *wrecker) start(i int) {
	w.t.Helper()
	broken := w.whole(i)
	for j, d := range w.dnsds {
		if d.running != nil {
			broken = d.paused || broken
			w.awake(d)
			broken = w.whole(j) || broken
		}
	}
	if broken {
		time.Sleep(session) // the one that was the writer may believe for so long that it is
	}
	if w.full && w.writerNow(w.ctx) < 0 {
		w.room()
	}
	w.Writer()
	w.StartDNSD(i)
	w.awaitLater(i, 0)
	w.room()
	w.awaitFollowing(i)
}

// room lets the store be full no more.
func (w *wrecker) room() {
	w.full = false
	w.Store().SetFull(false)
}

// whole lets the store run, and mends what is between it, dnsd i and the clients. It says
// whether anything was broken.
func (w *wrecker) whole(i int) (broken bool) {
	store, _ := w.dnsds[i].storeLink.now()
	hook, _ := w.dnsds[i].hookLink.now()
	broken = w.stopped || store != Whole || hook != Whole
	if w.stopped {
		w.stopped = false
		w.Store().Start()
	}
	w.Break(StoreLink(i), Whole)
	w.Break(HookLink(i), Whole)
	return broken
}

// awaitFollowing waits until dnsd i has followed a commit.
func (w *wrecker) awaitFollowing(i int) {
	w.t.Helper()
	w.awaitLater(i, w.awaitLater(i, 0))
}

// awaitLater waits until dnsd i is at a revision after one, and returns it.
func (w *wrecker) awaitLater(i int, one uint64) uint64 {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	for {
		s, err := w.services(ctx, i)
		if err == nil && s.Revision > one {
			return s.Revision
		}
		select {
		case <-time.After(5 * time.Millisecond): // there is no event for it
		case <-ctx.Done():
			w.t.Fatalf("testenv: waited %v until dnsd %d is after revision %d; it is at %d: %v", patience, i, one, s.Revision, err)
		}
	}
}

// services is the state of dnsd i.
func (w *wrecker) services(ctx context.Context, i int) (s register.Services, err error) {
	text, err := w.dnsds[i].get(ctx, "/v1/services")
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

// mend makes everything whole.
func (w *wrecker) mend() {
	w.arrive()
	w.room()
	for i, d := range w.dnsds {
		w.awake(d)
		for _, l := range d.links() {
			l.set(Whole)
		}
		if d.running != nil {
			w.whole(i)
		}
	}
	for i, d := range w.dnsds {
		if d.running == nil {
			w.start(i)
		}
	}
}
