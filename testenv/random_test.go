package testenv

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/testenv/history"
)

var (
	randomSeed = flag.Uint64("random.seed", 0, "that of TestSeveralDnsdUnderRandomFaults; 0: a new one for each run")
	randomRuns = flag.Int("random.runs", 0, "how many runs of TestSeveralDnsdUnderRandomFaults there are, side by side; 0: those of each day")
	randomTime = flag.Duration("random.time", 1200*time.Millisecond, "how long each run of TestSeveralDnsdUnderRandomFaults breaks things")
)

// usualSeeds are those without a flag. In the first, a dnsd starts in a full store. In the
// second, the answer to a transaction is lost, the store fills up, and dnsd are paused and
// killed.
var usualSeeds = []uint64{182, 165}

// TestSeveralDnsdUnderRandomFaults breaks several things at once, in any order. Nothing is
// promised then about how soon writes work again, but what clients and watchers saw must
// be right all the same.
//
// The registry stays in one life, because one dnsd runs all the time: see wrecker. In half
// of the runs all dnsd are killed at the end. Then another life must begin, with the same
// registrations.
//
// A seed decides what is done, but not what comes of it, so that a run cannot be repeated
// exactly. To look for what is rare:
//
//	go test -run RandomFaults ./testenv -random.runs=4 -random.time=2s -count=15
func TestSeveralDnsdUnderRandomFaults(t *testing.T) {
	seeds := usualSeeds
	if *randomSeed != 0 || *randomRuns > 0 {
		seeds = make([]uint64, max(*randomRuns, 1))
		for i := range seeds {
			seeds[i] = cmp.Or(*randomSeed, rand.Uint64())
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel() // it waits more than it works
			randomFaults(t, seed)
		})
	}
}

func randomFaults(t *testing.T, seed uint64) {
	t.Logf("-random.seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithTimeout(t.Context(), *randomTime+2*time.Minute)
	defer cancel()
	log := &memberLog{began: time.Now()}
	defer func() {
		if t.Failed() {
			t.Log("what the members said:\n" + log.text.String())
		}
	}()
	env := New(t, Setup{DNSDs: 3, Nodes: -1, Logger: slog.New(slog.NewTextHandler(log, nil)), Zone: dnsd.Zone{
		Transfer: dnsd.Transfer{To: []dnsd.Secondary{{Addr: "127.0.0.1/32"}}},
	}})
	rec, err := history.Start(ctx, history.Config{
		Hooks: env.HookURLs(), DNS: env.DNSAddrs(), Dial: env.Dial, Timeout: 2 * time.Second, IDs: 6, Seed: seed,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &wrecker{Env: env, lasting: random.IntN(3)}
	killed := random.IntN(2) == 0 // at the end
	t.Logf("dnsd %c is never killed", letters[w.lasting])
	for i := range 3 {
		w.awaitFollowing(i)
	}
	for left := *randomTime; left > 0; {
		f := draw(random)
		left -= f.pause
		t.Logf("%8v %s", rec.Now().Round(time.Millisecond), w.do(f))
		time.Sleep(f.pause)
	}
	w.mend()
	for i := range 3 {
		if err := rec.AwaitWrites(ctx, i, 10); err != nil {
			t.Error(err)
		}
	}
	h, err := rec.Finish(ctx)
	if err != nil {
		t.Error(err)
	}
	h.Unused, h.Once = log.unused(), true
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	if killed && !t.Failed() {
		w.anotherLife(t)
	}
}

// memberLog keeps the lines of package member.
type memberLog struct {
	began time.Time
	mu    sync.Mutex // guards text
	text  strings.Builder
}

func (l *memberLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, rest, ok := strings.Cut(string(p), `msg="member: `); ok {
		fmt.Fprintf(&l.text, "%8v %s", time.Since(l.began).Round(time.Millisecond), rest)
	}
	return len(p), nil
}

// unused is how many revisions the members have used up without a change, or more: each
// member says so.
func (l *memberLog) unused() (sum int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if _, keys, ok := strings.Cut(line, "revisions are used up"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(keys[strings.LastIndex(keys, "=")+1:]))
			sum += n
		}
	}
	return sum
}

// anotherLife kills all dnsd and starts them again.
func (w *wrecker) anotherLife(t *testing.T) {
	before, err := w.services(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range w.dnsds {
		w.KillDNSD(i)
	}
	for i := range w.dnsds {
		w.StartDNSD(i)
	}
	w.awaitReady()
	w.Writer()
	after, err := w.services(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if after.Life == before.Life || after.Revision < before.Revision+1<<20 {
		t.Errorf("after all dnsd were killed, the registry is at %d of life %s; before it was at %d of %s", after.Revision, after.Life, before.Revision, before.Life)
	}
	if was, is := instancesOf(before), instancesOf(after); is != was {
		t.Errorf("after all dnsd were killed, they have%s\nand before%s", is, was)
	}
}

// instancesOf are the lines of what is registered.
func instancesOf(s register.Services) string {
	var b strings.Builder
	for _, service := range s.Services {
		for _, in := range service.Instances {
			fmt.Fprintf(&b, "\n%s/%s %s:%d, drained %t, at %d", service.Service, in.ID, in.Host, in.Port, in.State == register.InstanceDrained, in.Revision)
		}
	}
	return b.String()
}
