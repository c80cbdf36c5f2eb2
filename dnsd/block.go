package dnsd

import (
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// A block is one server block at work: a registry, the zones that publish it and
// the hook that fills it. A reload may hand each of these parts on to the next block.
type block struct {
	cfg   Zone
	told  told
	reg   *shared[*registry.Registry]
	group *membership // with the other dnsd that share the registry; nil: there are none
	zones []*published
	hook  *shared[*hook.Server]
	dns   atomic.Pointer[[]*listener] // that serve its zones, for its metrics
	ready *atomic.Bool                // the server's: whether queries are answered
	extra []prometheus.Collector      // for its hook's metrics

	evicted bool // the hook was closed to make room for a plan
}

// shared is a part that may outlive its block, with the task that runs it.
type shared[T any] struct {
	part T
	task *task
}

// A published is a zone that a block's registry feeds.
type published struct {
	cfg    zone.Config
	zone   *zone.Zone
	detach func()
}

// sameStore says whether z has the store of b, so that b's registry can go on. sameShared
// says it of shared stores.
func (b *block) sameStore(z Zone) bool {
	if b.cfg.Store.Kind == "memory" {
		return z.Store.Kind == "memory" && b.publishesOne(z)
	}
	return b.cfg.Store == z.Store && !z.Store.isShared()
}

// published finds the zone of b that was made from zc; nil if there is none.
func (b *block) published(zc zone.Config) *published {
	if b != nil {
		for _, p := range b.zones {
			if reflect.DeepEqual(p.cfg, zc) {
				return p
			}
		}
	}
	return nil
}

// publishes says whether b has a zone of that name, whatever its settings.
func (b *block) publishes(origin string) bool {
	return b != nil && slices.ContainsFunc(b.zones, func(p *published) bool { return p.cfg.Origin == origin })
}

// start runs the parts that do not run yet.
func (b *block) start(failed chan<- error) {
	if b.reg.task == nil {
		b.reg.task = start("registry of "+b.cfg.Origins[0], b.reg.part.Run, failed)
	}
	if b.group != nil {
		b.group.zones.Store(&b.zones)
		b.group.start(b.cfg, failed)
	}
	if b.hook.task == nil {
		b.hook.task = start("hook "+b.cfg.Hook.Addr, b.hook.part.Run, failed)
	}
}

// servedBy notes which of the listeners serve b.
func (b *block) servedBy(all []*listener) {
	var mine []*listener
	for _, l := range all {
		if l.serves(b) {
			mine = append(mine, l)
		}
	}
	b.dns.Store(&mine)
}

// retire closes the parts of b that no block of kept has.
func (b *block) retire(kept []*block) error {
	hookKept, regKept := false, false
	zones := map[*published]bool{}
	for _, k := range kept {
		hookKept = hookKept || k.hook == b.hook
		regKept = regKept || k.reg == b.reg
		for _, p := range k.zones {
			zones[p] = true
		}
	}
	var errs []error
	if !hookKept {
		errs = append(errs, b.closeHook())
	}
	for _, p := range b.zones {
		if !zones[p] {
			p.detach()
		}
	}
	if !regKept {
		errs = append(errs, b.closeRegistry())
	}
	return errors.Join(errs...)
}

func (b *block) closeHook() error {
	b.hook.task.stop()
	return b.hook.part.Close()
}

func (b *block) closeRegistry() error {
	for _, p := range b.zones {
		p.detach()
	}
	b.group.close()
	b.reg.task.stop()
	return b.reg.part.Close()
}

// openRegistry opens the registry of z. Its revisions are at least the given one.
func openRegistry(z Zone, cfg registry.Config, least uint64, log *slog.Logger) (*registry.Registry, error) {
	cfg.Logger = log
	cfg.Ceiling = z.Store.Ceiling
	cfg.Revision = least
	cfg.Follow = z.Store.isShared()
	if z.Store.Kind == "bolt" {
		store, err := boltstore.Open(z.Store.Path)
		if err != nil {
			return nil, &fault{path: "store", err: err}
		}
		if n := store.Dropped(); n != 0 {
			log.Warn("the last change was only in part on the disk when dnsd or the machine ended, and is dropped: it had not been acknowledged, unless the disk has damaged it since", "file", z.Store.Path, "transaction", n)
		}
		if store.Mended() {
			log.Warn("one of the two meta pages was damaged, and is written again from the other: if dnsd or the machine had ended without a stop, the last change may be lost", "file", z.Store.Path)
		}
		cfg.Backend = store
	}
	reg, err := registry.Open(cfg)
	if err != nil {
		return nil, &fault{path: "store", err: err}
	}
	return reg, nil
}

// registryConfig is what b's registry is told.
func (b *block) registryConfig(log *slog.Logger) registry.Config {
	c := b.told.registry
	c.Logger = log
	return c
}

// check says why one of the zones cannot publish an instance.
func (b *block) check(key registry.Key, host string) error {
	for _, p := range b.zones {
		if err := p.zone.CheckInstance(key, host); err != nil {
			return err
		}
	}
	return nil
}

// hookConfig is what b's hook is told.
func (b *block) hookConfig(log *slog.Logger) hook.Config {
	c := b.told.hook
	c.Registry, c.Check, c.DNS = b.reg.part, b.check, b.answer
	c.Push = b.sessions
	c.Ready = func() error {
		if !b.ready.Load() {
			return errors.New("not serving yet, or no more")
		}
		if b.group != nil {
			return b.group.ready()
		}
		return nil
	}
	c.Collectors = append([]prometheus.Collector{dnsMetrics{b}}, b.extra...)
	if b.group != nil {
		c.Writer, c.Cluster = b.group.writes, b.group
		c.Collectors = append(c.Collectors, clusterMetrics{b.group})
	}
	c.Logger, c.Audit = log, log.With("audit", true)
	return c
}

// Tests: reload_test.go, lives_test.go, server_test.go, dropped_test.go.
