package resolver

import (
	"context"
	"crypto/tls"
	"log/slog"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// pushService is the name under which a zone has its servers of DNS push (RFC 8765 section
	// 6.1).
	pushService = "_dns-push-tls._tcp."
	typeSOA     = qtype(dns.TypeSOA)
	// findAgain is how long what was discovered counts, also if it was nothing. Two more
	// questions an hour are no load.
	findAgain = time.Hour
	// findSoon is how long a question without an answer counts: it may have been lost. So does
	// one that was not asked, because resolv.conf could not be read.
	findSoon = 5 * time.Minute
	// maxPushZones bounds the zones remembered: more than a program has.
	maxPushZones = 256
	// maxFound bounds the servers of one zone that are tried, and maxFoundAddrs their addresses.
	maxFound      = 8
	maxFoundAddrs = 2 * maxFound
)

// pushZone is the servers of DNS push that a zone names. Resolver.mu guards it.
type pushZone struct {
	name    string
	next    time.Time // before this, it is not asked for again
	servers []*pushServer
}

// findLocked begins to look for the servers of DNS push of a name, since its own server tells
// about no changes: that may be a recursive one.
func (r *Resolver) findLocked(ctx context.Context, e *entry) {
	now, z := time.Now(), e.push.zone
	switch {
	case !now.Before(e.push.find):
		e.push.find = now.Add(findAgain)
		go r.find(ctx, e)
	case z != nil && !now.Before(z.next): // the name that asked was left before the answer
		z.next = now.Add(findAgain)
		go r.findIn(ctx, e, z)
	}
}

// find asks in which zone the name is, and asks that zone for its servers, unless this is done
// already for another name.
func (r *Resolver) find(ctx context.Context, e *entry) {
	var rep *reply
	w, err := r.way()
	if err == nil {
		rep, _, err = r.ask(ctx, question{e.name, typeSOA}, w.light(), false)
	}
	r.mu.Lock()
	z, asked := (*pushZone)(nil), true
	switch {
	case err != nil:
		e.push.find = r.findSoonLocked(ctx)
	case rep.zone != "" && rep.zone != ".":
		now := time.Now()
		z = r.pushZoneLocked(rep.zone)
		if asked = now.Before(z.next); !asked {
			z.next = now.Add(findAgain)
		}
		e.push.zone = z
		e.wake()
	}
	r.mu.Unlock()
	if !asked {
		r.findIn(ctx, e, z)
	}
}

// findIn asks a zone for its servers, and wakes all names of the zone, which may be followed
// there.
func (r *Resolver) findIn(ctx context.Context, e *entry, z *pushZone) {
	var out outcome
	if w, err := r.way(); err == nil {
		out = r.resolveAt(ctx, pushService+z.name, w.light(), nil, new(memory))
	}
	servers := r.discovered(z.name, out.endpoints)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !out.vouched { // a lost answer says nothing about the servers that are known
		z.next = r.findSoonLocked(ctx)
		e.wake()
		return
	}
	z.servers = servers
	for _, other := range r.names {
		if other.push.zone == z {
			other.wake()
		}
	}
}

// pushZoneLocked returns what is known of a zone.
func (r *Resolver) pushZoneLocked(name string) *pushZone {
	z := r.pushZones[name]
	if z == nil {
		if r.pushZones == nil || len(r.pushZones) >= maxPushZones {
			r.pushZones = map[string]*pushZone{}
		}
		z = &pushZone{name: name}
		r.pushZones[name] = z
	}
	return z
}

// findSoonLocked is when to look again after a question without an answer. A Watch that has
// ended before the answer says nothing about the servers.
func (r *Resolver) findSoonLocked(ctx context.Context) time.Time {
	if ctx.Err() != nil {
		return time.Time{}
	}
	return time.Now().Add(r.spreadLocked(findSoon/2, findSoon))
}

// discovered returns servers in the order in which to try them.
//
// The name of a server comes by DNS without protection. If it is forged once, it could be that
// of a host with a public certificate, which tells anything for as long as the session lasts.
// So, unless PushTLS has a name or an authority, a name must be within the zone: only the owner
// of the zone gets a certificate for that.
func (r *Resolver) discovered(zone string, eps []Endpoint) []*pushServer {
	r.mu.Lock()
	defer r.mu.Unlock()
	eps = Order(eps, r.Rand)
	var out []*pushServer
	for _, ep := range eps[:min(len(eps), maxFound)] {
		config := new(tls.Config)
		if r.PushTLS != nil {
			config = r.PushTLS.Clone()
		}
		if config.ServerName == "" {
			config.ServerName = strings.TrimSuffix(ep.Target, ".")
			if config.RootCAs == nil && !config.InsecureSkipVerify && !dns.IsSubDomain(zone, ep.Target) {
				r.logLocked(slog.LevelWarn, "resolver: the zone names a server of DNS push outside of the zone, which is not used: set PushTLS.ServerName, or PushTLS.RootCAs to your own authority", "zone", zone, "server", ep.Target)
				continue
			}
		}
		for _, addr := range append([]string{ep.Addr}, ep.Alt...) { // the one that is preferred may not be reached
			out = append(out, r.pushServerLocked(addr, config))
		}
	}
	return out[:min(len(out), maxFoundAddrs)]
}

// Tests: pushfind_test.go.
