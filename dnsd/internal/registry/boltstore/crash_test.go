package boltstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// childEnv tells the test binary to be the process that is killed. Its value is the
// path of the store.
const childEnv = "ROLLCALL_CRASH_CHILD"

const (
	crashKills   = 50
	crashClients = 8
	crashKeys    = 12 // for each client
)

// TestAcknowledgedSurvivesSIGKILL kills a registry at any moment. Afterwards every
// acknowledged registration is there, no acknowledged deregistration is, and the next
// life begins above every revision that was given out.
func TestAcknowledgedSurvivesSIGKILL(t *testing.T) {
	if path := os.Getenv(childEnv); path != "" {
		crashChild(path)
		return
	}
	path := filepath.Join(tempDir(t), "svc.db")
	open(t, path).Close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	known := ledger{}
	acknowledged := 0
	for kill := range crashKills {
		acknowledged += known.live(t, path, time.Duration(rnd.Int64N(int64(40*time.Millisecond))))
		r := open(t, path)
		known.verify(t, r, kill)
		if t.Failed() {
			r.Close()
			return
		}
		known.settle(r)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged < crashKills {
		t.Errorf("%d requests acknowledged in %d lives: nothing was tested", acknowledged, crashKills)
	}
	t.Logf("%d requests acknowledged, %d instances at the end", acknowledged, len(known.acked))
}

// ledger is what the clients know of each id. A value is what the function value
// returns, or "" if the instance is not registered.
type ledger struct {
	acked    map[string]string // as acknowledged last
	asked    map[string]string // as asked for, without an answer yet
	revision uint64            // the highest acknowledged
}

// live starts a child, lets it live for d after its first answer, kills it, and
// returns how many answers it gave.
func (l *ledger) live(t *testing.T, path string, d time.Duration) (answers int) {
	if l.acked == nil {
		l.acked = map[string]string{}
	}
	l.asked = map[string]string{}
	child := peertest.StartSelf(t, "child", childEnv+"="+path)
	var once sync.Once
	for line := range child.Lines() {
		f := strings.Split(line, " ")
		switch {
		case len(f) == 3 && f[0] == "ask":
			l.asked[f[1]] = f[2]
		case len(f) == 4 && f[0] == "ack":
			l.acked[f[1]] = f[2]
			delete(l.asked, f[1])
			rev, err := strconv.ParseUint(f[3], 10, 64)
			if err != nil {
				t.Errorf("child said %q", line)
			}
			l.revision = max(l.revision, rev)
			answers++
			once.Do(func() { time.AfterFunc(d, child.Kill) })
		default:
			t.Errorf("child said %q", line)
		}
	}
	return answers
}

// verify compares the store with what was acknowledged. A request without an answer
// may have been done or not.
func (l *ledger) verify(t *testing.T, r *registry.Registry, kill int) {
	t.Helper()
	now := published(r)
	ids := map[string]bool{}
	for id := range l.acked {
		ids[id] = true
	}
	for id := range now {
		ids[id] = true
	}
	for id := range ids {
		asked, open := l.asked[id]
		if got := now[id]; got != l.acked[id] && !(open && got == asked) {
			t.Errorf("kill %d: %s is %q, acknowledged %q, asked %q", kill, id, got, l.acked[id], asked)
		}
	}
	if r.Revision() <= l.revision {
		t.Errorf("kill %d: revision %d, acknowledged %d", kill, r.Revision(), l.revision)
	}
}

// settle notes what became of the requests without an answer.
func (l *ledger) settle(r *registry.Registry) {
	now := published(r)
	for id := range l.asked {
		l.acked[id] = now[id]
	}
	l.revision = r.Revision()
}

// published returns the value of each id that is registered.
func published(r *registry.Registry) map[string]string {
	m := map[string]string{}
	v, _ := r.Service("_math._tcp")
	for _, in := range v.Instances {
		m[in.ID] = value(in.Instance)
	}
	return m
}

// value tells instances of one id apart: "w123", or "w123d" if it is drained.
func value(in *registry.Instance) string {
	s := fmt.Sprintf("w%d", in.Weight)
	if in.State == registry.Drained {
		s += "d"
	}
	return s
}

// crashChild registers, changes, drains and deregisters until it is killed. It prints a
// line before and after each request.
func crashChild(path string) {
	r, err := tryOpen(path)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	for c := range crashClients {
		wg.Go(func() {
			for {
				in := instance(fmt.Sprintf("c%d-%d", c, rand.IntN(crashKeys)))
				old, isThere := r.Instance(in.Key)
				switch {
				case isThere && rand.IntN(3) == 0:
					tell("ask", in.ID, "")
					if done, err := r.Deregister(ctx, in.Key, nil); err == nil {
						tell("ack", in.ID, "", fmt.Sprint(done.Revision))
					}
				case isThere && rand.IntN(3) == 0:
					want := *old.Instance
					want.State = registry.Drained
					tell("ask", in.ID, value(&want))
					done, err := r.Drain(ctx, in.Key, false)
					if err == nil {
						tell("ack", in.ID, value(done.Instance), fmt.Sprint(done.Revision))
					}
				default:
					in.Weight = uint16(rand.N(1 << 16))
					want := in
					if isThere {
						want.State = old.State
					}
					tell("ask", in.ID, value(&want))
					done, err := r.Register(ctx, in)
					if err == nil {
						tell("ack", in.ID, value(done.Instance), fmt.Sprint(done.Revision))
					}
				}
			}
		})
	}
	wg.Wait()
}

// tell prints a line with one write, which a pipe does not split.
func tell(words ...string) { os.Stdout.WriteString(strings.Join(words, " ") + "\n") }
