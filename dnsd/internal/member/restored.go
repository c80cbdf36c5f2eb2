package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// What shows that the store does not have what it had.
var (
	errReplaced  = errors.New("its data are others, or older: it was restored from a copy, or made again")
	errHeadGone  = errors.New("the key head is gone")
	errOlder     = errors.New("it has an older state than this member: it was restored from a copy")
	errNoChanges = errors.New("its watch does not deliver what it has")
)

// suspect makes this member read everything again, because the store is not what it was.
func (m *Member) suspect(why error) error {
	switch {
	case !m.behind.IsZero() && !errors.Is(why, errReplaced):
		return nil // that is known
	case !m.loaded && m.term == nil && (errors.Is(why, errNoChanges) || errors.Is(m.doubted, why)):
		return nil // everything is being read again, which may take longer than the time between two looks
	}
	if gone := (*unseated)(nil); errors.As(why, &gone) {
		if m.term == nil || m.term.journal != gone.journal {
			return nil // that is known
		}
		m.term.ticket.abandon()
		return m.lose(why)
	}
	m.loaded, m.doubted = false, why
	if errors.Is(why, errNoChanges) {
		m.cfg.Logger.Warn("member: the store: reading everything again", "why", why)
		return errAgain
	}
	m.witnessed = 0
	m.cfg.Logger.Error("member: the store was changed from outside", "why", why)
	if m.term != nil {
		return m.lose(fmt.Errorf("the store: %w", why))
	}
	return errAgain
}

// less says whether a store at pos has less than the registry.
func less(pos position, reg *registry.Registry) bool {
	return pos.below(reg.Revision(), reg.Life())
}

// mostTold is how many values that cannot be read are logged one by one.
const mostTold = 5

// adopt takes what was loaded as the content of the registry, unless the registry has more.
func (m *Member) adopt(l *loaded) error {
	if err := m.checkMeta(l.meta); err != nil {
		return err
	}
	m.loading.Lock()
	defer m.loading.Unlock()
	m.headAt = l.pos.head
	m.known.Store(&known{l.header.Cluster, l.header.Revision, m.headAt})
	for i, p := range l.problems {
		if i == mostTold {
			m.cfg.Logger.Error("member: more values in the store cannot be read", "values", len(l.problems)-i)
			break
		}
		m.cfg.Logger.Error("member: a value in the store cannot be read", "err", p)
	}
	m.setPeers(l.peers, l.header.Revision)
	m.introduced.Do(m.introduce)
	m.fed, m.loaded, m.doubted = l.header.Revision, true, nil
	m.broken.Store(nil)
	reg := m.cfg.Registry
	m.recall(l.pos)
	switch {
	case l.head == nil && !reg.Loaded():
		return nil // this member, or another, begins
	case l.head == nil, less(l.pos, reg):
		if !m.behind.IsZero() {
			m.contested = m.contested || l.head != nil && l.pos.head != m.beginning
		} else {
			m.fallBehind(l.pos.head)
			m.cfg.Logger.Error("member: the store has less than this dnsd: the next writer begins a new life", "store", l.pos.revision, "here", reg.Revision())
		}
		return nil
	}
	if err := reg.Reset(l.content()); err != nil {
		return err
	}
	if m.told != "" || !m.synced.Load() || !m.behind.IsZero() {
		m.told = ""
		m.cfg.Logger.Info("member: follows the store", "life", l.pos.life.String(), "revision", l.pos.revision, "instances", len(l.instances), "writer", l.head.Writer)
	}
	m.keepUp()
	m.owed, m.hand = map[registry.Key]registry.Fence{}, map[string]kv.Event{}
	m.synced.Store(true)
	m.loadedNow()
	return nil
}

// fallBehind notes that the store has less than the registry, with a head of its revision.
func (m *Member) fallBehind(head int64) {
	now := time.Now()
	m.behind, m.beginning, m.contested = now, head, false
	m.older.Store(&now)
}

// keepUp notes that the store has what the registry has.
func (m *Member) keepUp() {
	m.behind, m.contested = time.Time{}, false
	m.older.Store(nil)
}

// restore begins a new life in a store that has less than the registry, or nothing. What
// the registry has from this store before is written back. What it has from a copy is
// older, so only its revision counts.
func (m *Member) restore(ctx context.Context, j *journal, h *head) error {
	reg := m.cfg.Registry
	if reg.Loaded() && m.synced.Load() {
		if err := m.writeBack(ctx, j); err != nil {
			return err
		}
		return m.beginLife(j, "the store had less than this dnsd")
	}
	l, err := load(ctx, m.cfg.Store, m.keys)
	if err != nil {
		return m.refuse(err)
	}
	if l.pos.head != j.pos.head {
		return errors.New("the head was changed meanwhile")
	}
	seen := l.newest
	life, revision := reg.NewLife(seen)
	j.pos = l.pos.clone()
	if err := j.begin(life, revision); err != nil {
		return err
	}
	m.cfg.Logger.Info("member: begins a new life", "life", life.String(), "revision", revision, "instances", len(l.instances), "empty", h == nil)
	l.pos.life, l.pos.revision = life, revision
	m.loading.Lock()
	defer m.loading.Unlock()
	m.synced.Store(true)
	defer m.loadedNow()
	return reg.Reset(l.content())
}

// writeBack makes the keys of the store what the registry has. The head is not put: until
// it is, the others keep what they have.
func (m *Member) writeBack(ctx context.Context, j *journal) error {
	want, err := m.wanted()
	if err != nil {
		return err
	}
	var differ []string // keys
	next := 0
	names := make([]string, 0, len(want))
	for key := range want {
		names = append(names, key)
	}
	slices.Sort(names)
	_, err = m.cfg.Store.Range(ctx, m.keys.all(), 0, func(p kv.Pair) error {
		where, _ := m.keys.read(p.Key)
		if where.kind != instanceKey && where.kind != fenceKey {
			return nil
		}
		for next < len(names) && names[next] < p.Key {
			differ = append(differ, names[next])
			next++
		}
		if next < len(names) && names[next] == p.Key {
			next++
			if bytes.Equal(want[p.Key].value(), p.Value) {
				return nil
			}
		}
		differ = append(differ, p.Key)
		return nil
	})
	if err != nil {
		return err
	}
	differ = append(differ, names[next:]...)
	m.cfg.Logger.Warn("member: writes to the store what it has lost", "keys", len(differ))
	return j.writeAll(differ, want)
}

// content is a value that is encoded when it is needed.
type content struct {
	instance *registry.Instance
	fence    registry.Fence
}

func (c content) value() []byte {
	if c.instance != nil {
		return encode(registry.NewRecord(c.instance))
	}
	return encode(newFence(c.fence))
}

// wanted is what the keys of instances and fences should have.
func (m *Member) wanted() (map[string]content, error) {
	c := m.cfg.Registry.Content()
	want := make(map[string]content)
	for in, err := range c.Instances {
		if err != nil {
			return nil, err
		}
		want[m.keys.instance(in.Key)] = content{instance: in}
	}
	for f, err := range c.Fences {
		if err != nil {
			return nil, err
		}
		want[m.keys.fence(f.Key)] = content{fence: f}
	}
	return want, nil
}

// writeAll puts the keys that are wanted and deletes the others, in as many transactions
// as it takes. They do no harm if they come twice, and cannot be done after the head is
// put.
func (j *journal) writeAll(keys []string, want map[string]content) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	limits := j.store.Limits()
	t := kv.Txn{If: j.conditions()}
	size := spareBytes
	flush := func() error {
		if len(t.Then) == 0 {
			return nil
		}
		err := j.repeatLocked(t)
		t.Then, size = nil, spareBytes
		return err
	}
	for _, key := range keys {
		op := kv.Op{Key: key, Delete: true}
		if c, ok := want[key]; ok {
			op = kv.Op{Key: key, Value: c.value()}
		}
		more := len(op.Key) + len(op.Value) + overhead
		if len(t.Then) == limits.Ops || size+more > limits.Bytes {
			if err := flush(); err != nil {
				return err
			}
		}
		t.Then = append(t.Then, op)
		size += more
	}
	return flush()
}

// surpass begins a new life if the writer, another member, has gone on from a store that
// has less than this member's registry: some revisions have two meanings then. Its next
// commit fails because of it, and everyone reads everything again. A writer that remembers
// as much as this member begins a new life itself, and puts no head before.
func (m *Member) surpass(ctx context.Context) error {
	if m.behind.IsZero() || !m.contested && time.Since(m.behind) < 3*m.cfg.Session {
		return nil // the writer may be about to do it
	}
	m.behind, m.contested = time.Now(), false
	m.loaded = false
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	pair, _, err := m.cfg.Store.Get(ctx, m.keys.head())
	if err != nil || pair == nil {
		return errAgain
	}
	m.beginning = pair.Modified // only the next head is a reason to do this again soon
	h, err := parseHead(pair.Value)
	if err != nil {
		return errAgain
	}
	l, revision := m.cfg.Registry.NewLife(h.Revision + uint64(h.Spares))
	if h.Revision >= revision {
		return errAgain
	}
	h.Life, h.Revision, h.Batch, h.Time = life(l), revision, nil, time.Now().UTC()
	h.Writer, h.Member = m.cfg.Name, ""
	result, err := m.cfg.Store.Txn(ctx, kv.Txn{
		If:   []kv.Compare{{Key: pair.Key, Is: pair.Modified}},
		Then: []kv.Op{{Key: pair.Key, Value: encode(h)}},
	})
	m.cfg.Logger.Error("member: the writer went on from a store that has less than this dnsd: a new life begins", "life", l.String(), "revision", revision, "done", result.Done, "err", err)
	return errAgain
}
