package registry

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// Config of a Registry. The zero value is a registry in memory.
type Config struct {
	TTL     time.Duration // of instances that give none; default 5s; whole seconds, at most half of Lease.Default
	Lease   Leases
	Limits  Limits
	History History
	Guard   Guard

	// Backend stores the registry. Nil: memory. Close closes it.
	Backend Backend
	// Follow makes a registry of several that share one store. It begins without content,
	// as a follower: Reset, Follow and Lead say what it has. Backend must be nil.
	Follow bool
	// Revision is where to begin if neither the backend nor Ceiling has a higher one. It
	// is ByClock of the current time, or the revisions and SOA serials of a registry in
	// memory begin at 1 after every start.
	Revision uint64
	// Ceiling is the path of a small file with the highest revision that may have been
	// given out. It is useful beside a Backend too: an old copy of a store that is put
	// back does not hold it. Directories are made. "": no file. Then a registry that
	// changes more often than ByClock counts gives out revisions again after a crash.
	Ceiling string
	// Probe connects to an instance. Only an error that is syscall.ECONNREFUSED proves it
	// dead. Nil: a TCP connection, closed at once, which is refused if the host itself
	// resets it; for a name, if all its addresses do. Tests give another one.
	Probe  func(ctx context.Context, hostport string) error
	Logger *slog.Logger // nil: silent
}

// Leases are the default and the bounds of a lease.
type Leases struct {
	Default time.Duration // of instances that give none; default 15s, three renewals of 5s, or the nearest that the bounds allow
	Min     time.Duration // at least 2s; default 3s
	Max     time.Duration // default 24h
}

// Limits are the largest numbers of instances.
type Limits struct {
	Instances  int // in all; default 1 << 20
	PerService int // default 10,000
}

// History bounds the changes that are kept for watches and sinks.
type History struct {
	Changes int           // default 32,768
	Age     time.Duration // default 24h
}

// Guard stops mass expiry that is not proven. The zero value is on.
type Guard struct {
	Off     bool
	Percent int           // of a service that may be removed in one lease, but at least one instance; default 30, 1..100
	Leases  int           // after so many leases a reprieve ends; default 10
	Max     time.Duration // after this time a reprieve ends at the latest; default 15m
	NoProbe bool          // instances are not probed
	Probes  int           // how many are probed at once; default 64; tests that need an order give 1
}

// guardMin is the size from which a service is guarded. In a smaller one a share is less
// than one instance, so a silent instance is probed and gets one more lease.
const guardMin = 3

// tuning are numbers that only tests change.
type tuning struct {
	Fences       int           // removed instances that are remembered
	FenceAge     time.Duration // for how long
	WatchQueue   int           // events that a watch queues for a slow reader
	ProbeTimeout time.Duration // of one probe
}

func usual() tuning {
	return tuning{
		Fences:       65_536,         // a fence takes about 100 octets
		FenceAge:     24 * time.Hour, // no process that was replaced a day ago tries to register again
		WatchQueue:   4096,           // pointers: 32 KiB a watch
		ProbeTimeout: time.Second,    // a host in reach answers far sooner
	}
}

// Check returns c with the default in each field that is zero, or a *setting.Error
// with what Open would refuse. It opens nothing.
func Check(c Config) (Config, error) {
	c.Lease.Min = cmp.Or(c.Lease.Min, 3*time.Second)
	c.Lease.Max = cmp.Or(c.Lease.Max, 24*time.Hour)
	c.Lease.Default = cmp.Or(c.Lease.Default, min(max(15*time.Second, c.Lease.Min), c.Lease.Max))
	c.TTL = cmp.Or(c.TTL, min(5*time.Second, (c.Lease.Default/2).Truncate(time.Second)))
	c.Limits.Instances = cmp.Or(c.Limits.Instances, 1<<20)
	c.Limits.PerService = cmp.Or(c.Limits.PerService, 10_000)
	c.History.Changes = cmp.Or(c.History.Changes, 32_768)
	c.History.Age = cmp.Or(c.History.Age, 24*time.Hour)
	c.Guard.Percent = cmp.Or(c.Guard.Percent, 30)
	c.Guard.Leases = cmp.Or(c.Guard.Leases, 10)
	c.Guard.Max = cmp.Or(c.Guard.Max, 15*time.Minute)
	c.Guard.Probes = cmp.Or(c.Guard.Probes, 64)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Probe == nil {
		c.Probe = dial
	}
	if c.Backend == nil {
		c.Backend = Memory()
	}
	return c, c.check()
}

const (
	// minLease leaves room for a TTL: whole seconds, at most half of the lease.
	minLease = 2 * time.Second
	// mostThings is more than a machine has memory for: a larger number is a typing
	// error, and would be found only when the memory is used up.
	mostThings = 100_000_000
	// mostLeases is longer than any fault that a guard should bridge.
	mostLeases = 1000
)

func (c *Config) check() error {
	switch l := c.Lease; {
	case l.Default < minLease:
		return setting.Errorf("Lease.Default", "%v is too short; expected at least %v, because a TTL is whole seconds and at most half of a lease", l.Default, minLease)
	case l.Min < minLease:
		return setting.Errorf("Lease.Min", "%v is too short; expected at least %v, because a TTL is whole seconds and at most half of a lease", l.Min, minLease)
	case l.Max < l.Min:
		return setting.Errorf("Lease.Max", "%v is below the least lease, %v", l.Max, l.Min)
	case l.Max > longestLease:
		return setting.Errorf("Lease.Max", "%v is above the longest that can be published, %v", l.Max, longestLease)
	case l.Default < l.Min || l.Default > l.Max:
		return setting.Errorf("Lease.Default", "%v is not between the least lease, %v, and the longest, %v", l.Default, l.Min, l.Max)
	case c.TTL < time.Second || c.TTL%time.Second != 0:
		return setting.Errorf("TTL", "%v; expected whole seconds, at least 1s", c.TTL)
	case c.TTL > l.Default/2:
		return setting.Errorf("TTL", "%v is more than half of the lease, %v: clients would remember an instance for longer than its lease", c.TTL, l.Default)
	case c.Follow && c.Backend != Memory():
		return setting.Errorf("Follow", "a registry that follows has no backend of its own")
	case c.Guard.Percent < 1 || c.Guard.Percent > 100:
		return setting.Errorf("Guard.Percent", "%d%%; expected 1%% to 100%%", c.Guard.Percent)
	case c.History.Age < 0:
		return setting.Errorf("History.Age", "%v is negative", c.History.Age)
	case c.Guard.Max < 0:
		return setting.Errorf("Guard.Max", "%v is negative", c.Guard.Max)
	}
	for _, n := range []struct {
		field       string
		value, most int
	}{
		{"Limits.Instances", c.Limits.Instances, mostThings},
		{"Limits.PerService", c.Limits.PerService, mostThings},
		{"History.Changes", c.History.Changes, mostThings},
		{"Guard.Leases", c.Guard.Leases, mostLeases},
		{"Guard.Probes", c.Guard.Probes, mostThings},
	} {
		if n.value < 1 || n.value > n.most {
			return setting.Errorf(n.field, "%d; expected 1 to %d", n.value, n.most)
		}
	}
	return nil
}
