package member

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// mostByHand bounds the keys that are remembered because they were changed by hand.
const mostByHand = 1 << 20

// handEvery is the time between two lines in the log about changes by hand: a program that
// goes on making them must not fill a disk.
const handEvery = 10 * time.Second

// byHand notes changes of instances or fences that no member has made. The registries keep
// what they have, and the writer puts it back. What it has put back arrives here, too.
func (m *Member) byHand(touched []kv.Event) {
	wrong := 0
	for _, e := range touched {
		if right(e, m.keys.valueOf(m.cfg.Registry, e.Key)) {
			delete(m.hand, e.Key)
			continue
		}
		wrong++
		if len(m.hand) < mostByHand {
			m.hand[e.Key] = e
		}
	}
	if wrong == 0 {
		return
	}
	m.byHandLog.Do(func() {
		m.cfg.Logger.Warn("member: a key was changed in the store, and not by a dnsd: it is ignored, and the writer puts it back", "key", touched[0].Key, "keys", wrong)
	})
}

// valueOf is the value that the key of an instance or of a fence should have; nil: there
// should be none.
func (l layout) valueOf(reg *registry.Registry, key string) []byte {
	where, err := l.read(key)
	switch {
	case err != nil:
		return nil
	case where.kind == instanceKey:
		if s, ok := reg.Instance(where.key); ok {
			r := registry.NewRecord(s.Instance)
			if r.State == registry.Unconfirmed { // only readers see it: it is stored as it will be when it renews
				r.State = registry.Up
			}
			return encode(r)
		}
	case where.kind == fenceKey:
		if f := reg.Fence(where.key); !f.Empty() {
			return encode(newFence(f))
		}
	}
	return nil
}

// right says whether a change has made a key what it should be.
func right(e kv.Event, want []byte) bool {
	if e.Deleted {
		return want == nil
	}
	return want != nil && bytes.Equal(e.Value, want)
}

// later lets the keeper put back what was changed by hand.
func (k *keeper) later(broken map[string]kv.Event) {
	k.note(broken)
	k.signal()
}

// note notes what was changed by hand.
func (k *keeper) note(broken map[string]kv.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, e := range broken {
		if len(k.broken) < mostByHand && e.Modified >= k.broken[key].Modified {
			k.broken[key] = e
		}
	}
}

// mend puts keys back as the registry has them. It returns false if it has to be done
// again.
func (k *keeper) mend(ctx context.Context, broken map[string]kv.Event) bool {
	keys := make([]string, 0, len(broken))
	for key := range broken {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	few := max(1, (k.j.store.Limits().Ops-4)/2)
	for some := range slices.Chunk(keys, few) {
		n, err := k.j.mend(ctx, k.m.cfg.Registry, some, broken)
		if errors.Is(err, errMoved) || errors.Is(err, kv.ErrTooLarge) { // one was changed by a commit since, or they are long
			for _, key := range some {
				var one int
				if one, err = k.j.mend(ctx, k.m.cfg.Registry, []string{key}, broken); err != nil && !errors.Is(err, errMoved) {
					break
				}
				n += one
			}
		}
		if n > 0 {
			k.mended.Do(func() {
				k.m.cfg.Logger.Warn("member: keys that were changed in the store by hand are put back", "keys", n, "first", some[0])
			})
		}
		if err != nil && !errors.Is(err, errMoved) {
			if ctx.Err() == nil {
				k.failed.Do(func() {
					k.m.cfg.Logger.Warn("member: a key that was changed in the store by hand is not put back: the next change of it does it", "key", some[0], "err", err)
				})
			}
			return false
		}
	}
	return true
}

// errMoved says that the conditions of a transaction outside the order of commits do not
// hold.
var errMoved = errors.New("member: the store was changed meanwhile")

// mend puts some keys back as reg has them, unless they were changed again since. It
// returns how many were wrong.
func (j *journal) mend(ctx context.Context, reg *registry.Registry, keys []string, broken map[string]kv.Event) (n int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := reg.Await(ctx, j.pos.revision); err != nil { // a commit may have returned just now
		return 0, err
	}
	t := kv.Txn{If: j.conditions()}
	for _, key := range keys {
		e := broken[key]
		want := j.keys.valueOf(reg, key)
		if right(e, want) {
			continue
		}
		was := kv.Compare{Key: key, Is: e.Modified}
		if e.Deleted {
			was.Is = 0
		}
		t.If = append(t.If, was)
		t.Then = append(t.Then, kv.Op{Key: key, Value: want, Delete: want == nil})
	}
	if len(t.Then) == 0 {
		return 0, nil
	}
	return len(t.Then), j.repeatLocked(t)
}

// Tests: keeper_test.go.
