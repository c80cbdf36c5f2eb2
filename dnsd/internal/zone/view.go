package zone

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// View is a zone at one revision. It does not change, and shares nearly all of its memory
// with the views before and after it. The zero View is of no zone: no method but Since
// may be given one.
type View struct {
	z *Zone
	v *version
}

// View returns the zone as it is now. While the zone is Absent there is nothing in it but
// the apex and the name servers.
func (z *Zone) View() View { return View{z, z.current.Load()} }

// Revision returns the registry's revision.
func (v View) Revision() uint64 { return v.v.revision }

const (
	// listPart is the part of the list of services. No service has such a key: it would have
	// two labels.
	listPart = "_services._dns-sd._udp"
	// noPart is the part of the names that never have a record.
	noPart = "-"
)

// Part returns the key of the part of the zone on which all records of a name depend:
// "_math._tcp" for the service, its instances, its hosts and math.tcp.svc.; in a reverse
// zone that of an address. The apex and the name servers have "": the SOA changes with each
// revision. The list of services has its own, and names that never have a record share one.
func (v View) Part(name string) string {
	var buf [maxName]byte
	p, n, static := v.locate(&buf, name)
	switch {
	case static != nil || p.at == apex:
		return ""
	case p.at == outside:
		return noPart
	case v.z.forward != "":
		text, _, _ := dns.UnpackDomainName(n, 0)
		return turned(strings.TrimSuffix(text, "."+v.z.origin)) // no address has it if it is not one
	}
	switch p.at {
	case serviceName, hostName, instanceName, instanceHost:
		key := "_" + string(p.name) + "._tcp"
		if p.udp {
			key = key[:len(key)-3] + "udp"
		}
		return key
	case browseName:
		return listPart
	}
	return noPart
}

// locate reads a name. If it is that of a name server, or one above it, static is not nil.
func (v View) locate(buf *[maxName]byte, name string) (p place, wire []byte, static []dns.RR) {
	wire = fold(buf, wireName(dns.Fqdn(name)))
	if len(wire) == 0 {
		return place{}, nil, nil
	}
	if p = placeOf(wire, v.z.wire); p.at == outside {
		return p, wire, nil
	}
	if text, _, err := dns.UnpackDomainName(wire, 0); err == nil {
		if rrs, ok := v.z.static[text]; ok {
			return p, wire, append([]dns.RR{}, rrs...)
		}
	}
	return p, wire, nil
}

// Set returns the whole record set of a name, never a sample, in the order of the answers;
// nil if there is none. ANY stands for all sets of the name. The name may have any case.
func (v View) Set(name string, qtype uint16) (rrs []dns.RR) {
	var buf [maxName]byte
	p, n, static := v.locate(&buf, name)
	wants := func(rrtype uint16) bool { return qtype == rrtype || qtype == dns.TypeANY }
	add := func(set ...dns.RR) {
		for _, rr := range set {
			if wants(rr.Header().Rrtype) {
				rrs = append(rrs, rr)
			}
		}
	}
	if p.at == apex {
		add(v.v.soa)
	}
	switch {
	case p.at == outside:
		return nil
	case static != nil || p.at == apex:
		add(static...)
		return rrs
	case v.z.forward != "":
		z := addresses{v.z}
		if a, _ := z.at(v.v, n); a != nil && wants(dns.TypePTR) {
			rrs = z.names(a, a.members)
		}
		return rrs
	case p.at == browseName:
		if wants(dns.TypePTR) {
			rrs = v.z.listedRRs(v.v.services.all())
		}
		return rrs
	}
	if s := v.v.at(p); s != nil {
		v.z.sets(s, p, wants, &rrs)
	}
	return rrs
}

// sets appends the wanted record sets of a name that belongs to a service.
func (z *Zone) sets(s *service, p place, wants func(uint16) bool, rrs *[]dns.RR) {
	switch p.at {
	case serviceName:
		if wants(dns.TypeSRV) {
			*rrs = append(*rrs, z.srvSet(s)...)
		}
		if wants(dns.TypePTR) {
			*rrs = append(*rrs, z.ptrSet(s)...)
		}
	case hostName:
		if wants(dns.TypeA) {
			*rrs = append(*rrs, z.hostSet(s, true)...)
		}
		if wants(dns.TypeAAAA) {
			*rrs = append(*rrs, z.hostSet(s, false)...)
		}
	case instanceName, instanceHost:
		m, ok := s.member(p.id)
		if !ok {
			return
		}
		for _, rr := range z.instanceRRs(s, m) {
			// An address belongs to the host name, the others to the name of the instance.
			t := rr.Header().Rrtype
			if (t == dns.TypeA || t == dns.TypeAAAA) == (p.at == instanceHost) && wants(t) {
				*rrs = append(*rrs, rr)
			}
		}
	}
}

// at returns the service that a name belongs to, nil if there is none.
func (v *version) at(p place) *service {
	switch p.at {
	case serviceName, hostName, instanceName, instanceHost:
		return v.find(p.udp, p.name)
	}
	return nil
}

// Followed returns what a client needs to call a service: the SRV set of a name, and the
// addresses of the hosts of its instances. Other targets come without addresses.
func (v View) Followed(name string) (rrs []dns.RR) {
	var buf [maxName]byte
	p, _, static := v.locate(&buf, name)
	if static != nil || v.z.forward != "" || p.at != serviceName && p.at != instanceName {
		return v.Set(name, dns.TypeSRV)
	}
	s := v.v.at(p)
	if s == nil {
		return nil
	}
	if p.at == instanceName {
		m, ok := s.member(p.id)
		if !ok {
			return nil
		}
		rrs = append(rrs, v.z.srvRR(v.z.instanceName(s, m), s, m, m.ttl()))
		if a, ok := m.addr(); ok {
			rrs = append(rrs, addrRR(v.z.target(s, m), a, m.ttl()))
		}
		return rrs
	}
	owner, below := v.z.serviceName(s), "."+v.z.hostName(s)
	rrs = make([]dns.RR, 0, 2*s.members.n)
	srvs := make([]dns.SRV, 0, s.members.n) // one allocation instead of one for each
	for m := range s.srvs(v.z) {
		target := m.Host
		a, ok := m.addr()
		if ok {
			target = m.ID + below
		}
		srvs = append(srvs, dns.SRV{
			Hdr: header(owner, dns.TypeSRV, s.ttl.value), Priority: m.priority(), Weight: m.Weight, Port: m.Port,
			Target: target,
		})
		rrs = append(rrs, &srvs[len(srvs)-1])
		if ok && s.foreign == 0 {
			rrs = append(rrs, addrRR(target, a, m.ttl())) // next to each other, their names compress best
		}
	}
	if s.foreign > 0 {
		// An instance may have registered the host name of another one: they can share a record.
		for m := range s.members.all() {
			if a, ok := m.addr(); ok {
				rrs = append(rrs, addrRR(m.ID+below, a, m.ttl()))
			}
		}
	}
	return rrs
}

// Since returns the present view, and which parts changed between v and it. The part "" is
// always among them if the revision changed. ok is false if everything may have changed:
// the zone was loaded since, or v is not a view of this zone.
//
// It costs by what changed. If that is much, or is longer ago than the journal reaches, it
// costs by the number of services as well, but little: 128 of them take some nanoseconds.
func (z *Zone) Since(v View) (now View, parts []string, ok bool) {
	z.mu.Lock()
	now = z.View()
	if v.z != z || v.v.loads != now.v.loads {
		z.mu.Unlock()
		return now, nil, false
	}
	if v.v == now.v {
		z.mu.Unlock()
		return now, nil, true
	}
	steps, short := z.journal.atMost(v.v.revision, maxSince)
	z.mu.Unlock()
	parts = append(parts, "")
	list := false
	if short {
		seen := make(map[string]bool, len(steps))
		for _, st := range steps {
			for _, w := range st.was {
				if !seen[w.key] {
					seen[w.key] = true
					parts = append(parts, w.key)
					list = list || (w.part == nil) != (z.content.find(now.v, w.key) == nil)
				}
			}
		}
	} else {
		z.content.differ(v.v, now.v, func(key string, both bool) {
			parts = append(parts, key)
			list = list || !both
		})
	}
	if list && z.forward == "" {
		parts = append(parts, listPart)
	}
	return now, parts, true
}

// maxSince bounds the steps that Since copies under the lock of the zone.
const maxSince = 1024

// atMost returns the steps that lead from a revision on; false if none begins there, or if
// there are more than n.
func (j *journal) atMost(revision uint64, n int) ([]step, bool) {
	recent := *j
	if cut := len(j.steps) - n; cut > 0 {
		recent.steps = j.steps[cut:]
	}
	return recent.since(revision)
}

// Difference returns how the records of a part differ in a later view of the same zone, or
// an earlier one. It costs by what changed, not by the size of the service, unless TTLs,
// or records of registered host names, make others change, too.
func (v View) Difference(to View, part string) *Delta {
	d := &Delta{From: v.v.soa, To: to.v.soa}
	switch part {
	case "":
		if v.v.soa.Serial != to.v.soa.Serial {
			d.Removed, d.Added = append(d.Removed, v.v.soa), append(d.Added, to.v.soa)
		}
		return d
	case listPart:
		for was, is := range changed(v.v.services, to.v.services) {
			switch {
			case was == nil:
				d.Added = append(d.Added, v.z.listed(is))
			case is == nil:
				d.Removed = append(d.Removed, v.z.listed(was))
			}
		}
		return d
	}
	was, is := v.z.content.find(v.v, part), v.z.content.find(to.v, part)
	if was == is {
		return d
	}
	v.z.content.compare(d, was, is)
	// The record that lists the service has a part of its own. compare enters it first.
	d.Removed, d.Added = v.z.unlisted(d.Removed), v.z.unlisted(d.Added)
	return d
}

func (z *Zone) unlisted(rrs []dns.RR) []dns.RR {
	if len(rrs) > 0 && rrs[0].Header().Name == servicesName+z.origin {
		return rrs[1:]
	}
	return rrs
}

// Set returns the changes of one name and type, as View.Set takes them. The name is in
// lower case.
func (d *Delta) Set(name string, qtype uint16) (removed, added []dns.RR) {
	return d.only(func(rr dns.RR) bool {
		h := rr.Header()
		return h.Name == name && (h.Rrtype == qtype || qtype == dns.TypeANY)
	})
}

// Followed returns the changes of what View.Followed returns. The name is in lower case.
func (d *Delta) Followed(name string) (removed, added []dns.RR) {
	// _math._tcp.svc. has hosts below math.tcp.svc., a1._math._tcp.svc. has a1.math.tcp.svc.
	origin := d.To.Hdr.Name
	local := strings.TrimSuffix(name, origin)
	hosts := strings.ReplaceAll(local, "_", "") + origin
	whole := strings.HasPrefix(name, "_") // no id of an instance begins with one
	if !strings.Contains(local, "_") {
		return nil, nil // the name of a host, or of hosts, has no SRV records
	}
	return d.only(func(rr dns.RR) bool {
		h := rr.Header()
		switch h.Rrtype {
		case dns.TypeSRV:
			return h.Name == name
		case dns.TypeA, dns.TypeAAAA:
			if !whole {
				return h.Name == hosts
			}
			above, ok := strings.CutSuffix(h.Name, hosts)
			return ok && strings.HasSuffix(above, ".")
		}
		return false
	})
}

func (d *Delta) only(wanted func(dns.RR) bool) (removed, added []dns.RR) {
	unwanted := func(rr dns.RR) bool { return !wanted(rr) }
	return slices.DeleteFunc(slices.Clone(d.Removed), unwanted), slices.DeleteFunc(slices.Clone(d.Added), unwanted)
}

// Tests: view_test.go, view_cost_test.go.
