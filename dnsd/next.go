package dnsd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// A nextBlock is a block of a plan.
type nextBlock struct {
	next      *block
	old       *block // its registry goes on, and zones that did not change; nil: none
	hookFrom  *block // its hook goes on; nil: none
	adoptFrom *block // a new registry takes over its registrations; nil: none
	log       *slog.Logger

	made    bool         // the plan made the file of the store
	renewed []*published // that replace zones of old with other records
	at      uint64       // the revision of the registry after that, if nothing else happened
}

func (s *Server) prepareBlock(p *plan, z Zone, t told, old, hookFrom *block) (*nextBlock, error) {
	n := &nextBlock{
		next: &block{cfg: z, told: t, ready: &s.ready, extra: p.cfg.Collectors}, old: old, hookFrom: hookFrom,
		log: s.log.With("zone", z.Origins[0]),
	}
	if old == nil {
		n.adoptFrom = s.publisher(z)
	}
	if err := n.open(p.cfg); err != nil {
		n.abandon()
		return nil, err
	}
	if hookFrom != nil {
		n.next.hook = hookFrom.hook
		return n, n.join(p.cfg)
	}
	h, err := hook.Listen(n.next.hookConfig(n.log))
	if tookRoom(err) && s.evictHooks(p, z.Hook.Addr) {
		h, err = hook.Listen(n.next.hookConfig(n.log))
	}
	if err != nil {
		n.abandon()
		return nil, at("hook", z.Hook.Addr, err)
	}
	n.next.hook = &shared[*hook.Server]{part: h}
	return n, n.join(p.cfg)
}

// join completes a membership that is new: others find the hook by it.
func (n *nextBlock) join(cfg Config) error {
	b := n.next
	if b.group == nil || n.old != nil {
		return nil
	}
	err := b.group.join(b.cfg, b.told, b.hook.part.URL(), cfg.Dial, n.adoptFrom != nil)
	if err != nil {
		n.abandon()
	}
	return err
}

// publisher is the block that publishes one of z's zones at present; nil: none.
func (s *Server) publisher(z Zone) *block {
	for _, b := range s.blocks {
		if slices.ContainsFunc(z.Origins, func(o string) bool { return slices.Contains(b.cfg.Origins, o) }) {
			return b
		}
	}
	return nil
}

// open fills next, but for its hook: parts of old go on, and the others are new.
func (n *nextBlock) open(cfg Config) error {
	if err := n.openRegistry(cfg); err != nil {
		return err
	}
	return n.openZones()
}

// openRegistry takes over old's registry, or opens a new one. A new one begins above the
// revisions of the registry that published the zone before.
func (n *nextBlock) openRegistry(cfg Config) error {
	if n.old != nil {
		n.next.reg, n.next.group = n.old.reg, n.old.group
		return nil
	}
	least := registry.ByClock(time.Now())
	if n.adoptFrom != nil {
		least = max(least, n.adoptFrom.reg.part.Revision()+handover)
	}
	if path := n.next.cfg.Store.Path; path != "" {
		_, err := os.Stat(path)
		n.made = errors.Is(err, os.ErrNotExist)
	}
	reg, err := openRegistry(n.next.cfg, n.next.told.registry, least, n.log)
	if err != nil {
		return err
	}
	n.next.reg = &shared[*registry.Registry]{part: reg}
	if n.next.cfg.Store.isShared() {
		n.next.group, err = openMembership(n.next.cfg, cfg, reg, n.log)
	}
	return err
}

// adopt takes over the registrations of the registry that published the zone before: a
// change of the store must not lose an instance. It is not a part of open: an instance
// that deregisters between a failed reload and the next one must not stay in the new
// store.
func (n *nextBlock) adopt() error {
	if n.adoptFrom == nil {
		return nil
	}
	from, b := n.adoptFrom.reg.part, n.next
	var taken, kept int
	var err error
	if b.group == nil {
		taken, err = b.reg.part.Adopt(context.Background(), from)
	} else {
		b.group.start(b.cfg, nil)
		taken, kept, err = b.group.takeOver(context.Background(), from)
	}
	var full *registry.LimitError
	if errors.As(err, &full) {
		return faultf("limits", "the store before has more than %d %s; raise the limit", full.Max, full.What)
	}
	if err != nil {
		return faultf("store", "take over the registrations: %w", err)
	}
	n.log.Info("registrations taken over into another store", "instances", taken, "there already", kept)
	if now, before := b.reg.part.Revision(), from.Revision(); now < before {
		n.log.Warn("the serial of the zones falls, because that of the shared store is lower: secondaries keep their zones until it has grown; transfer them by hand", "revision", now, "before", before)
	}
	return nil
}

// handover is more revisions than a registry gives out during a reload.
const handover = 1 << 16

func (n *nextBlock) openZones() error {
	b := n.next
	before := n.old
	if before == nil {
		before = n.adoptFrom
	}
	skipped := n.old == nil || b.group == nil // or a revision has to be used up
	for _, zc := range b.told.zones {
		p := n.old.published(zc)
		if p == nil {
			fresh := zc
			fresh.Renewed, fresh.Absent = before.publishes(zc.Origin), b.group != nil
			z, err := zone.New(fresh)
			if err != nil {
				return err
			}
			p = &published{cfg: zc, zone: z}
			attach := b.reg.part.Attach
			if fresh.Renewed {
				attach = b.reg.part.AttachRenewed // secondaries may have other records of this serial
				if n.renewed = append(n.renewed, p); n.at == 0 {
					n.at = b.reg.part.Revision()
				}
				if !skipped {
					if n.at, err = b.group.skip(); err != nil {
						return err
					}
					skipped = true
				}
				if b.group == nil {
					n.at++
				}
			}
			p.detach = attach(z)
		}
		b.zones = append(b.zones, p)
	}
	return nil
}

// settle is called when the new zones are served. What was registered since they were
// loaded was published by the old zones, too, so secondaries may have the same serials with
// the old records: the new zones get a serial above them.
func (n *nextBlock) settle() {
	b := n.next
	if n.old == nil || len(n.renewed) == 0 || b.reg.part.Revision() == n.at {
		return
	}
	if b.group != nil {
		if _, err := b.group.skip(); err != nil {
			n.log.Warn("secondaries may keep the name servers and TTLs of before until the next registration or deregistration", "error", err)
		}
	}
	for _, p := range n.renewed {
		b.reg.part.LoadRenewed(p.zone)
	}
}

// update gives the parts that go on their new settings. It adds to undo functions that
// give back the old ones.
func (n *nextBlock) update(undo *[]func() error) error {
	if old := n.old; old != nil {
		if err := old.reg.part.Update(n.next.registryConfig(n.log)); err != nil {
			return err
		}
		*undo = append(*undo, func() error { return old.reg.part.Update(old.registryConfig(n.log)) })
		if old.group != nil {
			old.group.member.Update(alike(n.next.told))
			*undo = append(*undo, func() error { old.group.member.Update(alike(old.told)); return nil })
		}
	}
	if other := n.hookFrom; other != nil {
		if err := other.hook.part.Update(n.next.hookConfig(n.log)); err != nil {
			return at("hook", n.next.cfg.Hook.Addr, err)
		}
		*undo = append(*undo, func() error { return other.hook.part.Update(other.hookConfig(n.log)) })
	}
	return nil
}

// abandon closes what next does not share with old, and removes the store that was
// made for it.
func (n *nextBlock) abandon() {
	b := n.next
	if b.hook != nil && n.hookFrom == nil {
		b.hook.part.Close()
	}
	for _, p := range b.zones {
		if n.old.published(p.cfg) != p {
			p.detach()
		}
	}
	if b.reg != nil && n.old == nil {
		b.group.close()
		b.reg.task.stop()
		b.reg.part.Close()
		if n.made {
			os.Remove(b.cfg.Store.Path)
		}
	}
}

// Tests: reload_test.go, server_test.go, lives_test.go, secondary_test.go.
