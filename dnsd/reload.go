package dnsd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A plan is a configuration made ready: every new part is open, and every part that
// goes on is untouched. A plan is committed or abandoned as a whole.
type plan struct {
	cfg     Config
	blocks  []*nextBlock
	dns     []*nextListener
	restore []func() error // open again the sockets that made room: see evict.go
}

// prepare makes a plan of w beside the parts that run. If it fails, it has closed again
// what it opened.
func (s *Server) prepare(w checkedConfig) (_ *plan, err error) {
	p := &plan{cfg: w.Config}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.abandon())
		}
	}()
	registries, hooks := slices.Clone(s.blocks), slices.Clone(s.blocks) // those that no new block has taken yet
	for i, z := range w.Zones {
		old, err := goesOn(&registries, z)
		if err != nil {
			return nil, z.fail(err)
		}
		hookFrom := take(&hooks, func(b *block) bool { return b.cfg.Hook.Addr == z.Hook.Addr })
		n, err := s.prepareBlock(p, z, w.told[i], old, hookFrom)
		if err != nil {
			return nil, z.fail(err)
		}
		p.blocks = append(p.blocks, n)
	}
	for _, addr := range addresses(w.Config) {
		var old *listener
		if i := slices.IndexFunc(s.dns, func(l *listener) bool { return l.addr == addr }); i >= 0 {
			old = s.dns[i]
		}
		n, err := s.prepareListener(addr, p, old)
		if err != nil {
			return nil, w.owner(addr).fail(at("bind", addr, err))
		}
		p.dns = append(p.dns, n)
	}
	return p, nil
}

// goesOn takes the block whose registry goes on in z out of left; nil: there is none.
func goesOn(left *[]*block, z Zone) (*block, error) {
	for _, b := range *left {
		same, err := b.sameShared(z)
		if err != nil {
			return nil, err
		}
		if same {
			return take(left, func(o *block) bool { return o == b }), nil
		}
	}
	return take(left, func(b *block) bool { return b.sameStore(z) }), nil
}

// take takes the first block that fits out of left; nil: none fits.
func take(left *[]*block, fits func(*block) bool) *block {
	i := slices.IndexFunc(*left, fits)
	if i < 0 {
		return nil
	}
	b := (*left)[i]
	*left = slices.Delete(*left, i, i+1)
	return b
}

// owner is the first zone at the address of a listener.
func (c Config) owner(addr string) Zone {
	return c.Zones[slices.IndexFunc(c.Zones, func(z Zone) bool { return slices.Contains(z.listeners(), addr) })]
}

// at returns err as the fault of a directive, with the address if err does not name it.
func at(directive, addr string, err error) error {
	if !strings.Contains(err.Error(), strings.TrimPrefix(addr, tlsPrefix)) {
		err = fmt.Errorf("%s: %w", addr, err)
	}
	return &fault{path: directive, err: err}
}

// abandon closes what the plan opened, and opens again the sockets that made room for
// it.
func (p *plan) abandon() error {
	for _, n := range p.dns {
		n.abandon()
	}
	for _, n := range p.blocks {
		n.abandon()
	}
	var errs []error
	for _, restore := range p.restore {
		errs = append(errs, restore())
	}
	return errors.Join(errs...)
}

// commit replaces the parts that run by those of the plan. If a part that goes on
// refuses its new settings, the parts that took theirs get the old ones back.
func (s *Server) commit(p *plan) (err error) {
	var undo []func() error
	defer func() {
		if err != nil {
			for _, u := range slices.Backward(undo) {
				err = errors.Join(err, u())
			}
			err = errors.Join(err, p.abandon())
		}
	}()
	for _, n := range p.blocks { // before a hook reads the new registry
		if err := n.adopt(); err != nil {
			return n.next.cfg.fail(err)
		}
	}
	for _, n := range p.blocks {
		if err := n.update(&undo); err != nil {
			return n.next.cfg.fail(err)
		}
	}
	for _, n := range p.dns {
		if err := n.update(&undo); err != nil {
			return n.next.blocks[0].cfg.fail(at("bind", n.next.addr, err))
		}
	}

	// Nothing fails from here on.
	oldBlocks, oldDNS := s.blocks, s.dns
	s.cfg, s.blocks, s.dns = p.cfg, nil, nil
	for _, n := range p.blocks {
		s.blocks = append(s.blocks, n.next)
	}
	for _, n := range p.dns {
		s.dns = append(s.dns, n.next)
	}
	for _, b := range s.blocks {
		b.servedBy(s.dns)
	}
	if s.running {
		s.start()
	}
	for _, n := range p.blocks {
		n.settle()
	}
	for _, b := range oldBlocks {
		if err := b.retire(s.blocks); err != nil {
			s.log.Warn("closing what the old configuration had", "zone", b.cfg.Origins[0], "error", err)
		}
	}
	for _, l := range oldDNS {
		if !slices.ContainsFunc(s.dns, func(n *listener) bool { return n.server == l.server }) {
			l.close()
		}
	}
	return nil
}

// closeParts stops hooks, then lets other dnsd write, then stops DNS, then registries.
func closeParts(blocks []*block, dns []*listener) error {
	var errs []error
	for _, b := range blocks {
		errs = append(errs, b.closeHook())
	}
	var resigning sync.WaitGroup
	for _, b := range blocks {
		resigning.Go(b.group.resign)
	}
	resigning.Wait()
	for _, l := range dns {
		errs = append(errs, l.close())
	}
	for _, b := range blocks {
		errs = append(errs, b.closeRegistry())
	}
	return errors.Join(errs...)
}
