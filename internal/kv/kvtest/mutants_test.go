package kvtest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// mutants are faults, each with a test that has to find it.
var mutants = []struct {
	name  string
	found string
	make  func(*mutant)
}{
	{"reads are old", "AReadSeesEveryWriteThatWasAnswered", func(m *mutant) {
		cache := map[string]*kv.Pair{}
		m.get = func(ctx context.Context, key string) (*kv.Pair, kv.Header, error) {
			p, h, err := m.Store.Get(ctx, key)
			if old, ok := cache[key]; ok {
				return old, h, err
			}
			cache[key] = p
			return p, h, err
		}
	}},
	{"a range is of several revisions", "ARangeIsOfOneRevision", func(m *mutant) {
		m.ranged = func(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
			return m.Store.Range(ctx, prefix, at, func(p kv.Pair) error {
				now, _, err := m.Store.Get(ctx, p.Key)
				if err != nil || now == nil {
					return err
				}
				return each(*now)
			})
		}
	}},
	{"a range is of the newest revision", "ARangeOfAnOldRevision", func(m *mutant) {
		m.ranged = func(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
			h, err := m.Store.Range(ctx, prefix, 0, each)
			h.Revision = max(h.Revision, at)
			return h, err
		}
	}},
	{"a range has the keys that follow", "ARangeIsInOrderAndEndsWithThePrefix", func(m *mutant) {
		m.ranged = func(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
			return m.Store.Range(ctx, "", at, func(p kv.Pair) error {
				if p.Key < prefix {
					return nil
				}
				return each(p)
			})
		}
	}},
	{"a range goes on after an error", "AnErrorEndsARange", func(m *mutant) {
		m.ranged = func(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
			var first error
			h, err := m.Store.Range(ctx, prefix, at, func(p kv.Pair) error { first = errors.Join(first, each(p)); return nil })
			return h, errors.Join(err, first)
		}
	}},
	{"a transaction is done in parts", "ATransactionIsDoneWholeOrNot", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (r kv.Result, err error) {
			for _, op := range t.Then {
				if r, err = m.Store.Txn(ctx, kv.Txn{If: t.If, Then: []kv.Op{op}}); err != nil || !r.Done {
					return r, err
				}
			}
			return r, nil
		}
	}},
	{"a transaction is sent again", "AnyHistoryIsTheModels", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (kv.Result, error) {
			if r, err := m.Store.Txn(ctx, t); err != nil || !r.Done {
				return r, err
			}
			return m.Store.Txn(ctx, kv.Txn{Then: t.Then})
		}
	}},
	{"of two conditions, one holds", "Conditions", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (kv.Result, error) {
			t.If = t.If[:min(len(t.If), 1)]
			return m.Store.Txn(ctx, t)
		}
	}},
	{"Created is Modified", "Conditions", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (kv.Result, error) {
			t.If = slices.Clone(t.If)
			for i := range t.If {
				t.If[i].Created = false
			}
			return m.Store.Txn(ctx, t)
		}
	}},
	{"conditions are read first, and not fenced", "TransactionsThatCompeteAreDoneOneByOne", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (kv.Result, error) {
			if r, err := m.Store.Txn(ctx, kv.Txn{If: t.If}); err != nil || !r.Done {
				return r, err
			}
			runtime.Gosched()
			time.Sleep(time.Millisecond)
			return m.Store.Txn(ctx, kv.Txn{Then: t.Then})
		}
	}},
	{"a transaction may be larger than the limits", "ATransactionMayBeAsLargeAsItsLimits", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (r kv.Result, err error) {
			for part := range slices.Chunk(t.Then, 100) {
				if r, err = m.Store.Txn(ctx, kv.Txn{If: t.If[:min(100, len(t.If))], Then: part}); err != nil || !r.Done {
					break
				}
			}
			return r, err
		}
	}},
	{"the last of two puts is done", "ATransactionThatIsWrongIsNotSent", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (kv.Result, error) {
			seen := map[string]bool{}
			t.Then = slices.DeleteFunc(slices.Clone(t.Then), func(op kv.Op) bool { was := seen[op.Key]; seen[op.Key] = true; return was })
			return m.Store.Txn(ctx, t)
		}
	}},
	{"a revision is divided", "AWatchKeepsRevisionsWhole", splits},
	{"a revision that is divided is delivered twice", "WatchersSeeTheSameWhileAllWrite", splits},
	{"the header has the revision of the store", "AWatchBeginsAfterAnyRevision", watches(func(c *kv.Changes) { c.Header.Revision += 3 })},
	{"events are not in the order of the operations", "ATransactionIsDoneWholeOrNot", watches(func(c *kv.Changes) {
		slices.SortStableFunc(c.Events, func(a, b kv.Event) int { return strings.Compare(a.Key, b.Key) })
	})},
	{"deleted keys have values", "WhatChangesNothingMakesNoRevision", watches(func(c *kv.Changes) {
		for i := range c.Events {
			c.Events[i].Created = c.Events[i].Modified
		}
	})},
	{"events have no lease", "AnyHistoryIsTheModels", watches(func(c *kv.Changes) {
		for i := range c.Events {
			c.Events[i].Lease = 0
		}
	})},
	{"a watch that goes on misses a revision", "AWatchThatGoesOnMissesNothing", func(m *mutant) {
		m.watch = func(ctx context.Context, prefix string, after int64) kv.Watch {
			return m.Store.Watch(ctx, prefix, after+1)
		}
	}},
	{"a watch that goes on repeats a revision", "AWatchThatGoesOnMissesNothing", func(m *mutant) {
		m.watch = func(ctx context.Context, prefix string, after int64) kv.Watch {
			return m.Store.Watch(ctx, prefix, max(0, after-1))
		}
	}},
	{"a watch begins now", "AnyHistoryIsTheModels", func(m *mutant) {
		m.watch = func(ctx context.Context, prefix string, after int64) kv.Watch {
			_, h, _ := m.Store.Get(ctx, prefix)
			return m.Store.Watch(ctx, prefix, max(after, h.Revision))
		}
	}},
	{"a watch of compacted revisions begins now", "WhatWasCompactedIsGone", func(m *mutant) {
		m.watch = func(ctx context.Context, prefix string, after int64) kv.Watch {
			_, h, _ := m.Store.Get(ctx, prefix)
			return m.Store.Watch(ctx, prefix, max(after, h.Revision-1))
		}
	}},
	{"a watch has other keys, too", "AWatchSeesItsPrefixOnly", func(m *mutant) {
		m.watch = func(ctx context.Context, prefix string, after int64) kv.Watch {
			return m.Store.Watch(ctx, prefix[:len(prefix)-1], after)
		}
	}},
	{"a watch goes on after the end of its context", "AWatchEnds", func(m *mutant) {
		m.watch = func(_ context.Context, prefix string, after int64) kv.Watch {
			return m.Store.Watch(context.Background(), prefix, after)
		}
	}},
	{"a watch begins again after an error", "AWatchEnds", func(m *mutant) {
		m.watch = func(ctx context.Context, prefix string, after int64) kv.Watch {
			w := m.Store.Watch(ctx, prefix, after)
			return &mutantWatch{w, func(ctx context.Context) (kv.Changes, error) {
				c, err := w.Next(ctx)
				if err != nil {
					w = m.Store.Watch(context.Background(), prefix, after)
				}
				return c, err
			}}
		}
	}},
	{"a lease lasts too short", "ALeaseThatEndsDeletesItsKeys", func(m *mutant) {
		m.grant = func(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
			l, err := m.Store.Grant(ctx, ttl)
			l.TTL *= 2
			return l, err
		}
	}},
	{"a keepalive does nothing", "ALeaseThatEndsDeletesItsKeys", func(m *mutant) {
		m.keepAlive = func(ctx context.Context, id kv.LeaseID) error { return nil }
	}},
	{"a lease that was revoked is kept alive", "ALeaseThatIsGone", func(m *mutant) {
		m.keepAlive = func(ctx context.Context, id kv.LeaseID) error { m.Store.KeepAlive(ctx, id); return nil }
	}},
	{"keys have no lease", "AKeyLeavesALease", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (kv.Result, error) {
			t.Then = slices.Clone(t.Then)
			for i := range t.Then {
				t.Then[i].Lease = 0
			}
			return m.Store.Txn(ctx, t)
		}
	}},
	{"the keys of a lease are deleted one by one", "ARevokedLeaseDeletesItsKeysAtOneRevision", func(m *mutant) {
		m.revoke = func(ctx context.Context, id kv.LeaseID) error {
			m.Store.Range(ctx, "", 0, func(p kv.Pair) error {
				_, err := m.Store.Txn(ctx, kv.Txn{Then: []kv.Op{{Key: p.Key, Delete: true}}})
				return err
			})
			return m.Store.Revoke(ctx, id)
		}
	}},
	{"a full store deletes nothing", "AFullStoreDeletes", func(m *mutant) {
		m.txn = func(ctx context.Context, t kv.Txn) (kv.Result, error) {
			if m.Store.Status(ctx).Alarm != "" {
				return kv.Result{}, kv.ErrNoSpace
			}
			return m.Store.Txn(ctx, t)
		}
	}},
	{"Close does nothing", "CloseEndsEverything", func(m *mutant) { m.closes = func() error { return nil } }},
	{"calls have no end", "ACallEndsWithItsContext", func(m *mutant) {
		m.get = func(_ context.Context, key string) (*kv.Pair, kv.Header, error) {
			return m.Store.Get(context.Background(), key)
		}
	}},
	{"the cluster has no name", "EveryAnswerNamesTheCluster", watches(func(c *kv.Changes) { c.Header.Cluster = 7 })},
}
