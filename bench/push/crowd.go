//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// many is how many instances the crowd's service has.
const many = 10

func crowds(ctx context.Context, p programs) error {
	id, err := newIdentity(p.work)
	if err != nil {
		return err
	}
	fmt.Printf("%d sessions that follow one service of %d instances, %d changes\n", *clients, many, *changes)
	for _, way := range []struct {
		name   string
		config *tls.Config
	}{{"tcp", nil}, {"tls", id.config}} {
		if !slices.Contains(strings.Split(*over, ","), way.name) {
			continue
		}
		// A process of its own for each: what one crowd has left must not be there for the next.
		s, err := newServer(ctx, p, "crowd-"+way.name, id)
		if err != nil {
			return err
		}
		address := s.dns
		if way.config != nil {
			address = s.tls
		}
		err = oneCrowd(ctx, way.name, s, address, way.config)
		s.kill()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", way.name, err, s.said())
		}
	}
	return nil
}

// oneCrowd measures a crowd that comes, hears of changes, and goes.
func oneCrowd(ctx context.Context, name string, s *server, address netip.AddrPort, config *tls.Config) error {
	for i := range many {
		if err := s.do("PUT", path(service, fmt.Sprintf("a%d", i)), instance(1000+i, full)); err != nil {
			return err
		}
	}
	if _, err := unheard(s); err != nil { // the first ones make the process larger
		return err
	}
	alone, err := unheard(s)
	if err != nil {
		return err
	}
	before, err := s.resident()
	if err != nil {
		return err
	}
	one, err := gather(ctx, 1, address, config)
	if err != nil {
		return err
	}
	single, err := unheard(s)
	one.leave()
	if err != nil {
		return err
	}
	begin := time.Now()
	c, err := gather(ctx, *clients, address, config)
	if err != nil {
		return err
	}
	came := time.Since(begin)
	idle, err := s.resident()
	if err != nil {
		c.leave()
		return err
	}
	err = c.changes(ctx, s, name, func(r *crowdRow) { r.came, r.before, r.idle, r.alone, r.single = came, before, idle, alone, single })
	c.leave()
	if err != nil {
		return err
	}
	// dnsd knows that they have gone when their subscriptions have.
	if err := await(ctx, func() error {
		n, err := s.subscriptions()
		if err == nil && n > 0 {
			err = fmt.Errorf("%d subscriptions are left", n)
		}
		return err
	}); err != nil {
		return err
	}
	after, err := unheard(s)
	if err != nil {
		return err
	}
	fmt.Printf("  the same when they have gone: %v\n", after)
	return nil
}

// crowdRow is what is measured of one crowd.
type crowdRow struct {
	came                time.Duration // until all had the first set
	before, idle, after int           // resident octets
	alone, single       cost          // of a change to another service, without a session and with one
}

// changes measures changes that the crowd hears of, and prints.
func (c *crowd) changes(ctx context.Context, s *server, name string, fill func(*crowdRow)) error {
	var row crowdRow
	fill(&row)
	var took []time.Duration
	change := func(i int) error {
		if i%2 == 0 { // two changes of one size: an instance comes, and goes
			return s.do("PUT", path(service, "more"), instance(999, full))
		}
		return s.do("DELETE", path(service, "more"), "")
	}
	one := func(i int) error {
		d, err := c.hear(ctx, func() error { return change(i) })
		took = append(took, d)
		return err
	}
	for i := range 4 { // until all is warm
		if err := one(i); err != nil {
			return err
		}
	}
	took = took[:0]
	began, err := s.spent()
	if err != nil {
		return err
	}
	for i := range *changes {
		if err := one(i); err != nil {
			return err
		}
	}
	ended, err := s.spent()
	if err != nil {
		return err
	}
	if row.after, err = s.resident(); err != nil {
		return err
	}
	there, err := unheard(s)
	if err != nil {
		return err
	}
	arrived, err := c.arrivals(ctx, s, max(*changes/2, 1), func(i int) error { return change(*changes + i) })
	if err != nil {
		return err
	}
	if lost := c.lost.Load(); lost > 0 {
		return fmt.Errorf("%d sessions were lost", lost)
	}
	each := (ended - began) / time.Duration(*changes) / time.Duration(*clients)
	fmt.Printf("\n%s\n", name)
	fmt.Printf("  all came within %v\n", row.came.Round(time.Millisecond))
	fmt.Printf("  ms until the last one has a change: p50 %s, p99 %s, most %s\n", ms(quantile(took, 0.5)), ms(quantile(took, 0.99)), ms(quantile(took, 1)))
	fmt.Printf("  ms until the last one has it in its socket, while none reads: p50 %s, p99 %s, most %s\n", ms(quantile(arrived, 0.5)), ms(quantile(arrived, 0.99)), ms(quantile(arrived, 1)))
	fmt.Printf("  dnsd's processor for each of them and change: %.2f us\n", float64(each)/float64(time.Microsecond))
	fmt.Printf("  resident: %d MiB before, %d MiB more with all, %d MiB more after the changes\n", row.before>>20, (row.idle-row.before)>>20, (row.after-row.before)>>20)
	fmt.Printf("  a change to another service, without any: %v\n", row.alone)
	fmt.Printf("  the same while there is one: %v\n", row.single)
	fmt.Printf("  the same while all are there: %v\n", there)
	return nil
}

// cost is that of a change that no session hears of.
type cost struct{ cpu, median time.Duration }

func (c cost) String() string {
	return fmt.Sprintf("%.0f us of dnsd's processor, %.0f us until the answer (median)", float64(c.cpu)/float64(time.Microsecond), float64(c.median)/float64(time.Microsecond))
}

// unheard measures changes to a service that no session follows.
func unheard(s *server) (cost, error) {
	var took []time.Duration
	began, err := s.spent()
	if err != nil {
		return cost{}, err
	}
	for i := range *others {
		begin := time.Now()
		if i%2 == 0 {
			err = s.do("PUT", path("_other._tcp", "one"), instance(999, full))
		} else {
			err = s.do("DELETE", path("_other._tcp", "one"), "")
		}
		if err != nil {
			return cost{}, err
		}
		took = append(took, time.Since(begin))
	}
	ended, err := s.spent()
	return cost{(ended - began) / time.Duration(len(took)), quantile(took, 0.5)}, err
}
