package zone

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// Config says what a zone is besides its services. The zero value works but
// for Origin.
type Config struct {
	Origin     string        // FQDN of at least one label, any case: "svc."
	NS         []NameServer  // default: one, "ns." + Origin
	NSAddrs    []netip.Addr  // where this server is reached: see NameServer and Reachable
	Hostmaster string        // SOA RNAME as a name: "hostmaster.svc." (the default) is hostmaster@svc
	TTL        time.Duration // of SOA, NS, their addresses and the list of services; default 5 s
	// NegativeTTL is how long a resolver may remember that there is nothing
	// (SOA MINIMUM, RFC 2308 section 5), so how late a new service may be
	// seen by those who asked too early. Default TTL, which is the most as well.
	NegativeTTL time.Duration

	// Forward makes this the reverse zone of another, whose origin it is: PTR
	// records that lead from the addresses of the instances to their host
	// names there. Name server and hostmaster are then by default those of
	// that zone, and Origin is in-addr.arpa. or ip6.arpa., or below:
	// "10.in-addr.arpa.". Addresses that are not below it are left out.
	Forward string

	// Renewed says that secondaries may hold this zone with other name servers
	// or TTLs at the serial it is loaded at. No difference leads on from there:
	// Journal begins after the first change, so that they transfer all of it.
	Renewed bool

	JournalSteps int           // changes remembered for Journal; default 32,768 as in the registry, negative none
	JournalAge   time.Duration // how long before the newest change; default any time; by the clock of the changes
}

// Zone is what DNS says about a registry: changes go in, answers come out. All
// its methods may be called at any time from any goroutine; none of those that
// answer ever waits for one that changes.
type Zone struct {
	origin  string // lower case
	wire    []byte // origin on the wire
	above   int    // what the names of an instance may take above the origin that has them
	ttl     uint32
	soa     dns.SOA             // without serial
	static  map[string][]dns.RR // apex NS, name servers' addresses; nil RRs: an empty non-terminal
	forward string              // Config.Forward
	content content

	soaImage     soaImage
	staticImages map[string][]staticImage

	table   atomic.Pointer[table] // the services of current, by name as asked
	current atomic.Pointer[version]
	turn    atomic.Uint64                 // of the samples: see Redraw
	changed atomic.Pointer[chan struct{}] // closed when current is replaced

	mu      sync.Mutex // guards what follows, and the order of changes
	journal journal
}

var _ registry.Sink = (*Zone)(nil)

// defaultTTL is the TTL of the zone's own records, and so the time a negative
// answer is remembered. Short, for it bounds how late a first registration is
// seen, and cheap, for nobody asks a zone of services often for its SOA.
const defaultTTL = 5 * time.Second

// Check returns a *setting.Error with what New would refuse.
func Check(cfg Config) error {
	_, err := build(cfg) // which opens nothing, and is cheap
	return err
}

// New makes an empty zone of serial 0.
func New(cfg Config) (*Zone, error) {
	z, err := build(cfg)
	if err != nil {
		return nil, fmt.Errorf("zone: configure: %w", err)
	}
	return z, nil
}

func build(cfg Config) (*Zone, error) {
	origin, err := canonical("Origin", cfg.Origin)
	if err != nil {
		return nil, err
	}
	if origin == "." {
		return nil, setting.Errorf("Origin", "the root cannot be a zone of services; expected a name such as svc.")
	}
	z := &Zone{
		origin: origin,
		ttl:    seconds(cmp.Or(cfg.TTL, defaultTTL)),
		static: make(map[string][]dns.RR),
		journal: journal{
			maxSteps: cmp.Or(cfg.JournalSteps, defaultSteps),
			maxBytes: journalBytes,
			maxAge:   cfg.JournalAge,
			renewed:  cfg.Renewed,
		},
	}
	negative := cmp.Or(cfg.NegativeTTL, cmp.Or(cfg.TTL, defaultTTL))
	switch {
	case negative < time.Second || negative%time.Second != 0:
		return nil, setting.Errorf("NegativeTTL", "%v; expected whole seconds, at least 1s", negative)
	case seconds(negative) > z.ttl:
		return nil, setting.Errorf("NegativeTTL", "%v is more than the TTL, %ds, which bounds it (RFC 2308 section 5)", negative, z.ttl)
	}
	z.wire = wireName(origin)
	z.content = services{z}
	home := origin // of the name servers
	if cfg.Forward != "" {
		if z.forward, err = canonical("Forward", cfg.Forward); err != nil {
			return nil, err
		}
		if !dns.IsSubDomain("in-addr.arpa.", origin) && !dns.IsSubDomain("ip6.arpa.", origin) {
			return nil, setting.Errorf("Origin", "%s: a reverse zone lies in in-addr.arpa. or ip6.arpa. (RFC 1035 section 3.5)", origin)
		}
		z.content, home = addresses{z}, z.forward
	}

	if z.above = maxName - len(wireName(home)); z.above < usual {
		return nil, setting.Errorf("Origin", "%s is too long: a name has at most %d octets (RFC 1035 section 2.3.4), the zone takes %d of them, and the names of instances need %d", home, maxName, maxName-z.above, usual)
	}
	servers := cfg.NS
	if len(servers) == 0 {
		servers = []NameServer{{Host: "ns." + home}}
	}
	reachable := Reachable(cfg.NSAddrs)
	for i, ns := range servers {
		switch err := z.addServer(ns, reachable); {
		case err != nil && len(cfg.NS) == 0:
			return nil, setting.Errorf("NSAddrs", "name server %s: %w", ns.Host, err)
		case err != nil:
			return nil, setting.Of("NS", i, fmt.Errorf("%s: %w", ns.Host, err))
		}
	}
	hostmaster, err := canonical("Hostmaster", cmp.Or(cfg.Hostmaster, "hostmaster."+home))
	if err != nil {
		return nil, err
	}
	z.soa = dns.SOA{
		Hdr:  dns.RR_Header{Name: origin, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: z.ttl},
		Ns:   z.static[origin][0].(*dns.NS).Ns,
		Mbox: hostmaster,
		// A secondary that misses a NOTIFY asks again after a minute, then
		// every ten seconds, and answers for a week alone: a registry that
		// is away leaves its last word standing.
		Refresh: 60, Retry: 10, Expire: 7 * 24 * 3600,
		Minttl: seconds(negative),
	}
	ch := make(chan struct{})
	z.changed.Store(&ch)
	if z.soaImage, err = z.newSOAImage(); err != nil {
		return nil, fmt.Errorf("zone: SOA record: %w", err)
	}
	z.Load(0, func(func(*registry.Instance) bool) {}, nil)
	z.staticImages, err = z.newStaticImages()
	return z, err
}

// Origin returns the zone's name in lower case, with its final dot.
func (z *Zone) Origin() string { return z.origin }

// Serial returns the SOA serial: the low 32 bits of the registry's revision,
// compared by RFC 1982, so that it may wrap.
func (z *Zone) Serial() uint32 { return uint32(z.current.Load().revision) }

// Changed returns a channel that is closed at the next change. Take it before
// reading what you act on, and no change is missed.
func (z *Zone) Changed() <-chan struct{} { return *z.changed.Load() }

// content is what the records of a zone are made from, part by part: its
// services, or the addresses of a reverse zone.
type content interface {
	// keys returns the parts that a change touches.
	keys(c *registry.Change) []string
	// find returns the published part of that key, or nil.
	find(v *version, key string) part
	// change returns a part with one instance taken out and one put in. The
	// part may be nil, and so may either instance.
	change(p part, key string, old, now *registry.Instance, epoch uint64) part
	// load fills an empty version; the members may be in any order.
	load(v *version, members []member)
	// replace puts a part of a version in the place of another. Either may be nil.
	replace(v *version, was, now part)

	lookup(v *version, name []byte, qtype uint16) Answer
	// each yields all record sets but those of the apex and the name servers.
	each(v *version, yield func([]dns.RR) bool)
	// compare enters the difference between two states of a part, nil or not.
	compare(d *Delta, was, now part)
	// records is how many there are, or a little more.
	records(v *version) int
}

// part is a service, or the instances at one address. It is immutable.
type part interface {
	hasRecords() bool
	bytes() int // that a journal holds by holding it, about
}

// nilIfEmpty returns the part, or nil if it has no record.
func nilIfEmpty(p part) part {
	if p == nil || !p.hasRecords() {
		return nil
	}
	return p
}

// Load replaces all that the zone says by the instances of a registry at a
// revision. history, the changes that led there in order, lets Journal reach
// behind this moment. See registry.Sink.
func (z *Zone) Load(revision uint64, instances iter.Seq[*registry.Instance], history []registry.Change) {
	z.mu.Lock()
	defer z.mu.Unlock()
	var ms []member
	for in := range instances {
		if z.publishable(in) {
			ms = append(ms, newMember(in))
		}
	}
	next := &version{revision: revision, soa: z.soaAt(revision), listing: &listing{epoch: revision >> epochBits}}
	z.content.load(next, ms)
	z.journal.rebuild(z, next, history)
	z.publish(next)
}

// Apply takes changes over, in order of their revisions. When it returns, every
// answer knows them. See registry.Sink.
func (z *Zone) Apply(changes []registry.Change) {
	if len(changes) == 0 {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	old := z.current.Load()
	next := *old
	next.revision = changes[len(changes)-1].Revision
	next.soa = z.soaAt(next.revision)
	if epoch := next.revision >> epochBits; epoch != next.listing.epoch {
		next.listing = &listing{epoch: epoch}
	}
	step := step{from: old.revision, to: next.revision, at: changes[len(changes)-1].Time}
	edits := make(edits, 1)
	for i := range changes {
		c := &changes[i]
		for _, key := range z.content.keys(c) {
			before, after, first := edits.take(z.content, old, key, c)
			if first {
				step.was = append(step.was, was{key, before})
			}
			step.bytes += after.bytes()
		}
	}
	for _, w := range step.was {
		z.content.replace(&next, w.part, nilIfEmpty(edits[w.key]))
	}
	z.journal.add(step)
	z.publish(&next)
}

// publish makes a version the current one. The caller holds z.mu.
func (z *Zone) publish(v *version) {
	z.current.Store(v)
	ch := make(chan struct{})
	close(*z.changed.Swap(&ch))
}

// soaAt returns the SOA record of a revision.
func (z *Zone) soaAt(revision uint64) *dns.SOA {
	soa := z.soa
	soa.Serial = uint32(revision)
	return &soa
}

// canonical checks the name in a field and returns it in lower case.
func canonical(field, name string) (string, error) {
	if _, ok := dns.IsDomainName(name); !ok || !dns.IsFqdn(name) {
		return "", setting.Errorf(field, "%q is not a domain name that ends in a dot", name)
	}
	return dns.CanonicalName(name), nil
}

// wireName packs a name that was checked before.
func wireName(name string) []byte {
	var buf [maxName + 1]byte
	n, err := dns.PackDomainName(name, buf[:], 0, nil, false)
	if err != nil {
		return nil
	}
	return slices.Clone(buf[:n])
}
