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

// Config says what a zone is besides its services. The zero value of every field but
// Origin works.
type Config struct {
	Origin     string        // FQDN of at least one label, any case: "svc."
	NS         []NameServer  // default: one, "ns." + Origin
	NSAddrs    []netip.Addr  // where this server is reached: see NameServer and Reachable
	Hostmaster string        // SOA RNAME as a name: "hostmaster.svc." (the default) is hostmaster@svc
	TTL        time.Duration // of SOA, NS, their addresses and the list of services; default 5 s
	// NegativeTTL is how long a resolver may remember that a name does not exist
	// (SOA MINIMUM, RFC 2308 section 5). A client that asked too early sees a new
	// service that much later. Default TTL, which is the most as well.
	NegativeTTL time.Duration

	Push PushServer // published as _dns-push-tls._tcp. and the origin

	// Forward is the origin of another zone, and makes this the reverse zone of it:
	// PTR records lead from the addresses of the instances to their host names there.
	// The default name server and hostmaster are then those of that zone, and Origin
	// is in-addr.arpa. or ip6.arpa., or below: "10.in-addr.arpa.". Addresses that are
	// not below Origin are left out.
	Forward string

	// Absent makes a zone that has no content until its first Load. Until then it has
	// SERVFAIL for every name in it, and nothing to transfer: a client must not take a
	// service for gone, nor a secondary the zone for empty, because dnsd has not read
	// yet what there is.
	Absent bool

	// Renewed says that secondaries may hold this zone with other name servers or
	// TTLs at the serial it is loaded at. Journal then begins after the first change,
	// so that they transfer the whole zone.
	Renewed bool

	JournalSteps int           // changes remembered for Journal; default 32,768 as in the registry, negative none
	JournalAge   time.Duration // how long before the newest change; default any time; by the clock of the changes
}

// Zone is what DNS says about a registry: it takes changes and gives answers. All
// methods may be called at any time from any goroutine. A method that answers never
// waits for one that changes.
type Zone struct {
	origin  string // lower case
	wire    []byte // origin on the wire
	above   int    // octets that the names of an instance may have above the origin
	ttl     uint32
	soa     dns.SOA             // without serial
	static  map[string][]dns.RR // NS of the apex, addresses of name servers; no record: an empty non-terminal
	forward string              // Config.Forward
	content content

	soaImage     soaImage
	staticImages map[string][]staticImage

	table   atomic.Pointer[table] // the services of current, by name as asked
	current atomic.Pointer[version]
	absent  atomic.Bool                   // no content yet: see Config.Absent
	stale   atomic.Bool                   // see SetStale
	turn    atomic.Uint64                 // see Redraw
	changed atomic.Pointer[chan struct{}] // closed when current is replaced
	staled  atomic.Pointer[chan struct{}] // closed when stale changes

	mu      sync.Mutex // guards what follows, and the order of changes
	journal journal
}

var _ registry.Sink = (*Zone)(nil)

// defaultTTL is the TTL of the zone's own records, and so the time a negative
// answer is remembered. It is short, because it bounds how late a first registration is
// seen. That costs little, because few clients ask a zone of services for its SOA.
const defaultTTL = 5 * time.Second

// Check returns a *setting.Error with what New would refuse.
func Check(cfg Config) error {
	_, err := build(cfg) // which opens nothing, and is cheap
	return err
}

// New makes an empty zone of serial 0, or one without content: see Config.Absent.
func New(cfg Config) (*Zone, error) {
	z, err := build(cfg)
	if err != nil {
		return nil, fmt.Errorf("zone: configure: %w", err)
	}
	return z, nil
}

// build is New, with errors that are a *setting.Error.
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
	if err := z.addServers(cfg, "ns."+home); err != nil {
		return nil, err
	}
	if err := z.addPushServer(cfg.Push); err != nil {
		return nil, err
	}
	if z.soa, err = z.newSOA(cfg, "hostmaster."+home); err != nil {
		return nil, err
	}
	ch, staled := make(chan struct{}), make(chan struct{})
	z.changed.Store(&ch)
	z.staled.Store(&staled)
	if z.soaImage, err = z.newSOAImage(); err != nil {
		return nil, fmt.Errorf("SOA record: %w", err)
	}
	z.Load(0, func(func(*registry.Instance) bool) {}, nil)
	if z.staticImages, err = z.newStaticImages(); err != nil {
		return nil, err
	}
	z.absent.Store(cfg.Absent)
	return z, nil
}

// Origin returns the zone's name in lower case, with its final dot.
func (z *Zone) Origin() string { return z.origin }

// Absent tells whether the zone has no content yet: see Config.Absent. Once false, it
// stays false.
func (z *Zone) Absent() bool { return z.absent.Load() }

// SetStale says whether the content may be out of date, because the registry cannot
// learn of changes. The answers do not change; the caller tells clients.
func (z *Zone) SetStale(stale bool) {
	if z.stale.Swap(stale) != stale {
		ch := make(chan struct{})
		close(*z.staled.Swap(&ch))
	}
}

// Stale tells what SetStale said last.
func (z *Zone) Stale() bool { return z.stale.Load() }

// StaleChanged returns a channel that is closed when Stale changes. Call it before Stale, so
// that you miss no change.
func (z *Zone) StaleChanged() <-chan struct{} { return *z.staled.Load() }

// Serial returns the SOA serial: the low 32 bits of the registry's revision,
// compared by RFC 1982, so that it may wrap. It is 0 while the zone has no content.
func (z *Zone) Serial() uint32 { return uint32(z.current.Load().revision) }

// Changed returns a channel that is closed at the next change. Call it before you read
// the zone, so that you miss no change.
func (z *Zone) Changed() <-chan struct{} { return *z.changed.Load() }

// content makes the records of a zone from parts: from its services, or from the
// addresses of a reverse zone.
type content interface {
	// keys returns the parts that a change touches.
	keys(c *registry.Change) []string
	// find returns the part of that key in a version, or nil.
	find(v *version, key string) part
	// change returns a part without one instance and with another. The part may be
	// nil, and so may either instance.
	change(p part, key string, old, now *registry.Instance) part
	// load fills an empty version; the members may be in any order.
	load(v *version, members []member)
	// replace replaces a part of a version by another. Either may be nil.
	replace(v *version, was, now part)

	lookup(v *version, name []byte, qtype uint16) Answer
	// each yields all record sets but those of the apex and the name servers.
	each(v *version, yield func([]dns.RR) bool)
	// compare adds the difference between two states of a part, of which either may be
	// nil.
	compare(d *Delta, was, now part)
	// differ calls changed for each part that is not the same in two versions: both says
	// whether both have records of it.
	differ(was, now *version, changed func(key string, both bool))
	// records is how many records a version has, or a little more.
	records(v *version) int
}

// part is a service, or the instances at one address. It is immutable.
type part interface {
	hasRecords() bool
	bytes() int // what a journal keeps in memory by keeping it, about
}

// nilIfEmpty returns the part, or nil if it has no record.
func nilIfEmpty(p part) part {
	if p == nil || !p.hasRecords() {
		return nil
	}
	return p
}

// Load replaces the content of the zone by the instances of a registry at a revision.
// history holds the changes that led there, in order, and lets Journal reach back
// before this call. See registry.Sink.
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
	if old := z.current.Load(); old != nil {
		next.loads = old.loads + 1
	}
	z.content.load(next, ms)
	z.journal.rebuild(z, next, history)
	z.publishLocked(next)
}

// Apply applies changes in the order of their revisions. When it returns, every answer
// knows them. See registry.Sink.
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
	step := step{from: changes[0].Revision - 1, to: next.revision, at: changes[len(changes)-1].Time}
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
	if step.from != old.revision {
		z.journal.forget() // secondaries may have the revision before with other name servers or TTLs
	}
	z.journal.add(step)
	z.publishLocked(&next)
}

// publishLocked makes a version the current one.
func (z *Zone) publishLocked(v *version) {
	z.current.Store(v)
	z.absent.Store(false) // when there is something to read, and before readers hear of it
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
