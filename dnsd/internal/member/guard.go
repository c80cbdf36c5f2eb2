package member

import (
	"context"
	"math/rand/v2"
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

// ahead is a revision that the store has and the registry has not.
type ahead struct {
	revision uint64
	since    time.Time
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
		before, k := m.cfg.Registry.Revision(), m.known.Load()
		pair, header, err := m.cfg.Store.Get(gctx, m.keys.head())
		if err == nil {
			m.heard()
			if why := m.compare(pair, header, before, k); why != nil {
				select {
				case m.odd <- why:
				default:
				}
			}
		}
		if silent := m.silent(); away != (silent > m.cfg.Session) {
			if away = !away; away {
				m.cfg.Logger.Error("member: the store does not answer: DNS goes on from memory, nothing expires, and nothing can be registered", "for", silent, "err", err)
			} else {
				m.cfg.Logger.Info("member: the store answers again")
			}
		}
		if n%healthEvery == 0 || err != nil && n%2 == 0 {
			m.health.Store(&storeHealth{m.cfg.Store.Status(gctx), time.Now()})
		}
		cancel()
	}
}

// compare returns what is odd about the head. before and k are from before it was read.
func (m *Member) compare(pair *kv.Pair, header kv.Header, before uint64, k *known) error {
	if k != nil && (header.Cluster != k.cluster || header.Revision < k.revision) {
		return errReplaced
	}
	if !m.synced.Load() {
		return nil
	}
	if pair == nil {
		return errHeadGone
	}
	var h struct {
		Revision uint64 `json:"revision"`
		Spares   int    `json:"spares"`
	}
	if parse(pair.Value, &h) != nil {
		return nil // whoever applies it says so
	}
	if h.Revision+uint64(min(max(h.Spares, 0), mostSpares)) < before {
		return errOlder
	}
	reg := m.cfg.Registry
	was := m.ahead.Load()
	switch {
	case reg.Revision() >= h.Revision:
		m.ahead.Store(nil)
	case was == nil || reg.Revision() >= was.revision:
		m.ahead.Store(&ahead{h.Revision, time.Now()})
	case time.Since(was.since) > laggard && !reg.Leads():
		m.ahead.Store(&ahead{h.Revision, time.Now()})
		return errNoChanges
	}
	return nil
}

// lag is how many revisions this member is behind the store for longer than usual.
func (m *Member) lag(reg *registry.Registry) (revisions uint64, since time.Duration) {
	a := m.ahead.Load()
	if a == nil {
		return 0, 0
	}
	if at := reg.Revision(); at < a.revision {
		return a.revision - at, time.Since(a.since)
	}
	return 0, 0
}

// Tests: cluster_test.go.
