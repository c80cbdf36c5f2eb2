package hook

import (
	"net/http"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// DNSAnswer is what DNS says to one question, as text in the form of zone files.
type DNSAnswer struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Status string `json:"status"` // NOERROR, NXDOMAIN, SERVFAIL

	Answer     []string `json:"answer"`
	Authority  []string `json:"authority,omitempty"`
	Additional []string `json:"additional,omitempty"`
	// Octets is the length of the message, without EDNS. UDP: a datagram of 1,232 octets, as
	// dnsd and most resolvers use them, has the answer, though maybe not all additional
	// records; else clients ask over TCP.
	Octets int  `json:"octets"`
	UDP    bool `json:"udp"`
	// Total: the answer is a sample of so many records, because no message can hold them.
	Total int `json:"total,omitempty"`
}

// dnsBytes is the memory of an answer: a message has at most 64 KiB, and about three times
// as much as text.
const dnsBytes = 256 << 10

// dnsTypes are the types of records that a zone of services has.
var dnsTypes = []string{"SRV", "TXT", "A", "AAAA", "PTR", "ANY"}

// showDNS answers with what DNS says about a service, or about one of its instances: the
// same that a client gets from the zone.
func (x *exchange) showDNS() error {
	service := x.r.PathValue("service")
	if err := registry.CheckService(service); err != nil {
		return err
	}
	if err := x.mayRead(service); err != nil {
		return err
	}
	q, err := x.query("type", "id")
	if err != nil {
		return err
	}
	rrtype := strings.ToUpper(q.Get("type"))
	if rrtype == "" {
		rrtype = "SRV"
	}
	if !slices.Contains(dnsTypes, rrtype) {
		return refuse(http.StatusBadRequest, "type", "type %.20q: give one of %s", q.Get("type"), strings.Join(dnsTypes, ", "))
	}
	name := service
	if rrtype == "A" || rrtype == "AAAA" {
		name = strings.NewReplacer("_", "").Replace(service) // the hosts are at math.tcp
	}
	if q.Has("id") {
		if err := registry.CheckID(q.Get("id")); err != nil {
			return err
		}
		name = q.Get("id") + "." + name
	}
	if x.st.dns == nil {
		return refuse(http.StatusNotFound, "", "this hook publishes no zone")
	}
	release, err := x.memory(dnsBytes, "ask for less")
	if err != nil {
		return err
	}
	defer release()
	a, err := x.st.dns(name+"."+x.st.zone, rrtype)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, a)
}

// Tests: dns_test.go.
