package member

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

const (
	// look is how often the store is looked at, beside the watch.
	look = time.Second
	// laggard is how long a follower may be without what the store has. After it, it should
	// get no traffic, and does not trust its watch any more.
	laggard = 3 * time.Second
	// healthEvery is how many looks are between two questions for the health of the store's
	// servers.
	healthEvery = 10
)

// ahead is what the store has and this member has not.
type ahead struct {
	revision uint64    // that has not come
	since    time.Time // when it was noted
	newest   uint64    // revision of the store
	again    time.Time // when everything was read again because of it, or since
}

// storeHealth is what the store's servers said about themselves.
type storeHealth struct {
	kv.Status
	at time.Time
}

// guard looks at the head every second: whether the store answers, whether it is the one
// that it was, and whether the watch delivers what it has.
func (m *Member) guard(ctx context.Context) {
	away := false
	for n := 0; ctx.Err() == nil; n++ {
		if n > 0 {
			sleep(ctx, look/2+rand.N(look))
		}
		gctx, cancel := context.WithTimeout(ctx, max(m.cfg.Session/2, look))
		why, err := m.glance(gctx)
		if why != nil {
			select {
			case m.odd <- why:
			default: // the one before is not handled yet
			}
		}
		if silent := m.silent(); away != (silent > m.cfg.Session) {
			if away = !away; away {
				goesOn := "DNS goes on from memory, nothing expires, and nothing can be registered"
				switch {
				case m.cfg.Registry.Loaded():
				case m.cfg.Reload:
					goesOn = "this reload cannot be done, and what was served before is served on"
				default:
					goesOn = "this dnsd waits for it, answers DNS with SERVFAIL, and can register nothing"
				}
				m.cfg.Logger.Error("member: the store does not answer: "+goesOn, "for", silent, "err", err, "servers", m.troubles())
			} else {
				m.cfg.Logger.Info("member: the store answers again")
			}
		}
		cancel()
		if n%healthEvery == 0 || err != nil && n%2 == 0 {
			sctx, cancel := context.WithTimeout(ctx, look) // the other one may have been used up
			m.health.Store(&storeHealth{m.cfg.Store.Status(sctx), time.Now()})
			cancel()
		}
	}
}

// troubles are the servers of the store that do not work, as they were asked last.
func (m *Member) troubles() []string {
	h := m.health.Load()
	if h == nil {
		return nil
	}
	var all []string
	for _, n := range h.Nodes {
		if n.Error != "" {
			all = append(all, strings.TrimSpace(n.Name+" "+n.URL+": "+n.Error))
		}
	}
	return all
}

// glance reads the head, and returns what is odd about it, or why it cannot be read.
func (m *Member) glance(ctx context.Context) (odd, err error) {
	revision := m.cfg.Registry.Revision() // before the head is read: the store has this, or more
	absent := m.missing()
	k := known{}
	if seen := m.known.Load(); seen != nil {
		k = *seen
	}
	watched, lead := k.revision, m.leads.Load()
	if lead != nil {
		k.head = max(k.head, lead.headAt.Load())
		k.revision = max(k.revision, k.head)
	}
	pair, header, err := m.cfg.Store.Get(ctx, m.keys.head())
	if err != nil {
		return nil, err
	}
	m.heard()
	switch {
	case k.cluster != 0 && header.Cluster != k.cluster, header.Revision < k.revision:
		return errReplaced, nil
	case !m.synced.Load():
		return nil, nil
	case pair == nil:
		return errHeadGone, nil
	}
	var h struct {
		Life     life   `json:"life"`
		Revision uint64 `json:"revision"`
		Spares   int    `json:"spares"`
	}
	if parse(pair.Value, &h) != nil {
		return nil, nil // whoever applies it says so
	}
	switch {
	case pair.Modified < k.head, pair.Modified > k.head && h.Revision < revision:
		return errOlder, nil
	case h.Revision < revision, absent != nil:
		n, err := m.countSpares(ctx, header.Revision)
		if err != nil {
			return nil, err
		}
		stored := h.Revision + uint64(max(h.Spares-n, 0))
		if stored < revision {
			return errOlder, nil
		}
		if absent != nil {
			m.returned(absent, registry.Life(h.Life), stored)
		}
	}
	newest := pair.Modified
	if lead != nil {
		joined, gone, err := lead.lookAtMembers(ctx)
		if gone != nil || err != nil {
			return gone, err
		}
		newest = max(newest, joined)
	}
	return m.compare(h.Revision, newest, watched), nil
}

// countSpares counts the spare keys as they were when the head was read. It is needed only
// while the store is full, and after an absence.
func (m *Member) countSpares(ctx context.Context, at int64) (n int, err error) {
	_, err = m.cfg.Store.Range(ctx, m.keys.spares(), at, func(p kv.Pair) error {
		if _, err := m.keys.read(p.Key); err == nil {
			n++
		}
		return nil
	})
	return n, err
}

// unseated is what is odd about a member that leads without its key.
type unseated struct{ journal *journal }

func (*unseated) Error() string {
	return "the key of this member was deleted, and its watch has not said so"
}

// lookAtMembers reads the keys of the members, and returns when the last was changed.
// Renewals are acknowledged without the store, and a member that has joined may pass on
// writes, so a writer must not depend on its watch alone.
func (j *journal) lookAtMembers(ctx context.Context) (newest int64, odd, err error) {
	own := j.keys.member(j.seat.session)
	seated := false
	_, err = j.store.Range(ctx, j.keys.members(), 0, func(p kv.Pair) error {
		newest = max(newest, p.Modified)
		seated = seated || p.Key == own && p.Created == j.seat.created
		return nil
	})
	if err != nil || seated {
		return newest, nil, err
	}
	return newest, &unseated{j}, nil
}

// compare notes how far the registry, and the watch, are behind the store. newest is of
// what the watch delivers.
func (m *Member) compare(revision uint64, newest, watched int64) error {
	reg := m.cfg.Registry
	late := overdue(&m.ahead, reg.Revision(), revision)
	if overdue(&m.unseen, uint64(watched), uint64(newest)) || late && !reg.Leads() {
		return errNoChanges
	}
	return nil
}

// overdue notes that there is something in the store that has not come yet, and says
// whether it should have by now.
func overdue(noted *atomic.Pointer[ahead], have, store uint64) bool {
	was, now := noted.Load(), time.Now()
	switch {
	case have >= store:
		noted.Store(nil)
	case was == nil || have >= was.revision:
		noted.Store(&ahead{store, now, store, now})
	case now.Sub(was.again) > laggard:
		noted.Store(&ahead{was.revision, was.since, store, now})
		return true
	default:
		noted.Store(&ahead{was.revision, was.since, store, was.again})
	}
	return false
}

// lag is how many revisions this member is behind the store for longer than usual.
func (m *Member) lag(reg *registry.Registry) (revisions uint64, since time.Duration) {
	a := m.ahead.Load()
	if a == nil {
		return 0, 0
	}
	if at := reg.Revision(); at < a.revision {
		return a.newest - at, time.Since(a.since)
	}
	return 0, 0
}

// Tests: cluster_test.go.
