package dnsd

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

const (
	// reconfirmTime bounds the check of one record. A probe takes half a second at most.
	reconfirmTime = 5 * time.Second
	// mostReconfirmed is how many instances are probed for one record: several have the
	// same one if they share an address.
	mostReconfirmed = 4
)

// reconfirm probes the instances that a record of a zone leads to, which a client could
// not use (RFC 8765 section 6.5). They keep their leases unless their hosts refuse.
func (l *listener) reconfirm(z *zone.Zone, rr dns.RR) {
	i := slices.IndexFunc(l.blocks, func(b *block) bool {
		return slices.ContainsFunc(b.zones, func(p *published) bool { return p.zone == z })
	})
	if i < 0 {
		return // a reload has just taken it away
	}
	b := l.blocks[i]
	var writer registry.Writer = b.reg.part
	if b.group != nil {
		writer = b.group.writes
	}
	ctx, cancel := context.WithTimeout(context.Background(), reconfirmTime)
	defer cancel()
	service, _ := b.reg.part.Service(z.View().Part(rr.Header().Name))
	left := mostReconfirmed
	for _, in := range service.Instances {
		if left > 0 && leadsTo(rr, in.Instance, z.Origin()) && l.doubts.first(in.Key, time.Now()) {
			left--
			writer.ConnectionLost(ctx, in.Key, in.Incarnation)
		}
	}
}

// doubts are the instances that were probed lately because a client doubted them. The zero
// value is ready.
type doubts struct {
	mu    sync.Mutex // guards known
	known map[registry.Key]time.Time
}

// doubtEvery is how long an instance is not probed again: a client must not make dnsd
// connect to it all the time.
const doubtEvery = 10 * time.Second

// first tells whether the instance may be probed now, and notes that it is.
func (d *doubts) first(key registry.Key, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.known[key]; ok && now.Sub(at) < doubtEvery {
		return false
	}
	if d.known == nil {
		d.known = make(map[registry.Key]time.Time)
	}
	maps.DeleteFunc(d.known, func(_ registry.Key, at time.Time) bool { return now.Sub(at) >= doubtEvery })
	d.known[key] = now
	return true
}

// leadsTo tells whether a record of the instance's service is one of the instance, or
// leads to it.
func leadsTo(rr dns.RR, in *registry.Instance, origin string) bool {
	below := "." + strings.TrimPrefix(in.Service, "_")
	below = strings.Replace(below, "._", ".", 1) + "." + origin // of the host: .math.tcp.svc.
	name, host := in.ID+"."+in.Service+"."+origin, in.ID+below
	owner := strings.ToLower(rr.Header().Name)
	switch v := rr.(type) {
	case *dns.SRV:
		return owner == name || v.Port == in.Port && (strings.EqualFold(v.Target, host) || strings.EqualFold(v.Target, in.Host))
	case *dns.PTR:
		return strings.EqualFold(v.Ptr, name)
	case *dns.A:
		return owner == host || owner == below[1:] && v.A.Equal(net.ParseIP(in.Host))
	case *dns.AAAA:
		return owner == host || owner == below[1:] && v.AAAA.Equal(net.ParseIP(in.Host))
	}
	return owner == name
}

// Tests: push_test.go.
