package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// loaded is all that is under the prefix, at one revision of the store.
type loaded struct {
	header    kv.Header
	head      *head // nil: there is none
	pos       position
	instances []*registry.Instance // ordered by key
	fences    []registry.Fence     // ordered by time
	peers     map[string]Peer      // by key in the store
	meta      *meta                // nil: there is none
	newest    uint64               // the highest revision in any value
	problems  []error              // of values that could be left out
}

// DamagedError says that a value in the store cannot be read. Nothing is loaded without
// it: what is missing would look like a deregistration.
type DamagedError struct {
	Key  string
	Err  error  // what is wrong with its value
	Cure string // what an operator can do
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("member: the value of %s in the store: %v: %s", e.Key, e.Err, e.Cure)
}

// Unwrap returns Err.
func (e *DamagedError) Unwrap() error { return e.Err }

const (
	cureInstance = "delete the key with etcdctl del; its server registers again"
	cureHead     = "put back its value from a backup of the store, or delete it with etcdctl del while a dnsd runs that has served from this prefix: it writes the key from its memory"
	cureMeta     = "put back its value from a backup of the store, or delete it with etcdctl del: the writer writes it from its Corefile"
)

// silence is how long the store may say nothing while it is read.
const silence = 10 * time.Second

// load reads everything under the prefix.
//
// Errors: *DamagedError, those of kv.Store.Range.
func load(ctx context.Context, store kv.Store, keys layout) (*loaded, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(silence, cancel)
	defer silent.Stop()
	l := &loaded{peers: make(map[string]Peer)}
	names := make(map[string]string)
	n := 0
	var err error
	l.header, err = store.Range(ctx, keys.all(), 0, func(p kv.Pair) error {
		if n++; n%256 == 0 {
			silent.Reset(silence)
		}
		return l.take(keys, p, names)
	})
	if err != nil {
		return nil, err
	}
	l.finish()
	return l, nil
}

// take reads one pair. The pairs come in the order of their keys.
func (l *loaded) take(keys layout, p kv.Pair, names map[string]string) error {
	where, err := keys.read(p.Key)
	switch where.kind {
	case headKey:
		h, err := parseHead(p.Value)
		if err != nil {
			return &DamagedError{p.Key, err, cureHead}
		}
		l.head, l.pos.head = h, p.Modified
	case metaKey:
		m, err := parseMeta(p.Value)
		if err != nil {
			return &DamagedError{p.Key, err, cureMeta}
		}
		l.meta = m
	case instanceKey:
		if err == nil {
			err = l.instance(where.key, p.Value, names)
		}
		if err != nil {
			return &DamagedError{p.Key, err, cureInstance}
		}
	case fenceKey:
		var f registry.Fence
		if err == nil {
			f, err = parseFence(where.key, p.Value)
		}
		if err != nil {
			l.problems = append(l.problems, &DamagedError{p.Key, err, "delete it with etcdctl del; an older process may register under its name until then"})
			return nil
		}
		l.fences = append(l.fences, f)
	case spareKey:
		if err != nil {
			l.problems = append(l.problems, &DamagedError{p.Key, err, "it is not counted"})
			return nil
		}
		l.pos.spares = append(l.pos.spares, spare{where.spare, p.Created})
	case memberKey:
		if p.Lease == 0 {
			l.problems = append(l.problems, &DamagedError{p.Key, errNoLease, "it is ignored; delete it with etcdctl del"})
			return nil
		}
		l.peers[p.Key] = readPeer(p)
	}
	return nil
}

// errNoLease: the key of a member has a lease, with which it ends. A key without one was
// put by hand, or copied with the others from another store. It would have the lowest
// place for ever, and no member could lead.
var errNoLease = errors.New("has no lease, so no member has put it")

// readPeer reads a member. One that cannot be read has no name, and is a member all the
// same: it may be the writer.
func readPeer(p kv.Pair) Peer {
	peer, err := parsePeer(p.Value)
	if err != nil {
		peer = Peer{}
	}
	peer.Key, peer.created = p.Key, p.Created
	return peer
}

// instance reads an instance. Instances share the text of their service.
func (l *loaded) instance(k registry.Key, value []byte, names map[string]string) error {
	in, err := parseInstance(value)
	if err != nil {
		return err
	}
	if in.Key != k {
		return fmt.Errorf("is of %s", in.Key)
	}
	name, ok := names[in.Service]
	if !ok {
		name = strings.Clone(in.Service)
		names[name] = name
	}
	in.Service = name
	l.newest = max(l.newest, in.Revision)
	l.instances = append(l.instances, in)
	return nil
}

// finish puts everything in order and counts the removals without space.
func (l *loaded) finish() {
	byKey := func(a, b *registry.Instance) int { return a.Key.Compare(b.Key) }
	if !slices.IsSortedFunc(l.instances, byKey) {
		slices.SortFunc(l.instances, byKey)
	}
	slices.SortFunc(l.fences, func(a, b registry.Fence) int {
		return cmp.Or(a.Time.Compare(b.Time), a.Key.Compare(b.Key))
	})
	l.pos.at = l.header.Revision
	if l.head == nil {
		return
	}
	l.pos.life, l.pos.revision = registry.Life(l.head.Life), l.head.Revision
	if gone := l.head.Spares - len(l.pos.spares); gone > 0 {
		l.pos.revision += uint64(gone)
	}
	l.newest = max(l.newest, l.pos.revision)
}

// content is what the registry is reset to.
func (l *loaded) content() registry.Content {
	return registry.Content{Life: l.pos.life, Snapshot: registry.Snapshot{
		Revision: l.pos.revision, Instances: yieldAll(l.instances), Fences: yieldAll(l.fences),
	}}
}

func yieldAll[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}
