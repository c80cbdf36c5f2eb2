package zone

import (
	"cmp"
	"errors"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// PushServer is where clients subscribe to the zone over TLS (RFC 8765 section 6.1). The
// zero value: there is no such server, or clients do not find it by DNS.
type PushServer struct {
	Host string // FQDN: the name in its certificate
	Port uint16
}

const (
	// pushService is the name that clients look for in the zone: RFC 8765 section 6.1.
	pushService = "_dns-push-tls._tcp"
	pushLabels  = pushService + "."
)

// addPushServer adds the record by which clients find it.
func (z *Zone) addPushServer(p PushServer) error {
	if p == (PushServer{}) {
		return nil
	}
	host := dns.CanonicalName(p.Host)
	err := checkServer(host)
	if _, ok := dns.IsDomainName(p.Host); !ok || !dns.IsFqdn(p.Host) {
		err = errors.New("not a domain name that ends in a dot")
	}
	if p.Port == 0 {
		err = cmp.Or(err, errors.New("port 0 is none"))
	}
	if err != nil {
		return setting.Errorf("Push", "%s: %w", p.Host, err)
	}
	name := pushLabels + z.origin
	z.static[name] = []dns.RR{&dns.SRV{Hdr: header(name, dns.TypeSRV, z.ttl), Port: p.Port, Target: host}}
	z.addAbove(name)
	return nil
}

// taken tells whether the names of a service are those of the zone itself.
func (z *Zone) taken(key registry.Key) bool {
	return key.Service == pushService && z.static[pushLabels+z.origin] != nil
}

// Tests: pushserver_test.go.
