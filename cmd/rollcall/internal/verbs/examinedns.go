package verbs

import (
	"context"
	"fmt"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/view"
)

// maxZones bounds the zones that are asked for: one shows the way as well as a hundred.
const maxZones = 4

// dns asks the DNS servers of clients of Rollcall for the zones, and those of all other
// programs. Without metrics the zones are not known, and svc. is what a dnsd without a
// Corefile has.
func (e *examination) dns(ctx context.Context) {
	if len(e.zones) == 0 {
		e.zones = []string{"svc."}
	}
	servers, from, err := view.Servers(e.servers)
	e.path(ctx, servers, from, err, true)
	if from == view.VarDNS {
		servers, err = view.System()
		e.path(ctx, servers, view.SystemFile, err, false)
	}
}

// path asks each of the servers for the zones; needed: clients of Rollcall depend on it.
func (e *examination) path(ctx context.Context, servers []string, from string, err error, needed bool) {
	if err != nil {
		e.note("", "%v", err)
		return
	}
	for _, zone := range e.zones[:min(len(e.zones), maxZones)] {
		ctx, cancel := context.WithTimeout(ctx, e.Timeout)
		for _, z := range view.AskZone(ctx, servers, zone) {
			e.server(z, from, zone, needed)
		}
		cancel()
	}
}

// server judges what one server says of a zone.
func (e *examination) server(z view.Zone, from, zone string, needed bool) {
	report, others, cure := e.note, "; clients of Rollcall ask those of "+view.VarDNS+" instead", ""
	if needed {
		report, others = e.bad, ""
		if from == view.SystemFile {
			cure = "; or, for clients of Rollcall alone, set " + view.VarDNS + " to the address of dnsd's DNS"
		}
	}
	who := fmt.Sprintf("DNS server %s (%s)", z.Server, from)
	serial, known := e.serials[zone]
	switch behind := serial - z.Serial; {
	case z.Error != "":
		report("is it up, and does a firewall let UDP and TCP pass?"+cure, "%s does not answer: %s", who, z.Error)
	case !z.Found:
		report("make it forward the zone to dnsd: docs/operations.md#forwarding-the-zone"+cure, "%s answers %s for zone %s: programs that ask it do not find services%s", who, z.Rcode, zone, others)
	case known && int32(behind) > 0:
		// Serials go round (RFC 1982). The metrics are older than this answer.
		e.note("a cache is behind for up to a TTL, a secondary until its next transfer", "%s is %d changes behind dnsd in zone %s", who, behind, zone)
	default:
		e.good("%s finds zone %s, serial %d", who, zone, z.Serial)
	}
}

// Tests: doctor_test.go, script_test.go.
