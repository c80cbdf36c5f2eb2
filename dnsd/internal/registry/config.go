package registry

import (
	"context"
	"log/slog"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// Config of a Registry. The zero value is a registry in memory.
type Config struct {
	Backend Backend // keeps what must not be forgotten; nil: memory. Close closes it

	TTL      time.Duration // for instances that give none; default 5s, at most Lease/2
	Lease    time.Duration // for instances that give none; default 15s: three renewals of 5s
	MinLease time.Duration // default 3s, or Lease if that is shorter; at least 2s, because a TTL is whole seconds and at most half of it
	MaxLease time.Duration // default 24h, or Lease if that is longer

	MaxInstances  int // in all; default 1 << 20
	MaxPerService int // default 10,000

	Guard Guard
	// Probe tries to connect to an instance; only an error that is
	// syscall.ECONNREFUSED proves it dead. nil: a TCP connection, closed at once,
	// which is refused when the host itself resets it, and for a name every host.
	Probe func(ctx context.Context, hostport string) error

	History    int           // changes kept for Watch and for sinks; default 32,768
	HistoryAge time.Duration // default 24h
	Fences     int           // removed instances whose incarnation is remembered; default 65,536
	FenceAge   time.Duration // default 24h
	WatchQueue int           // events a watcher may lag behind before it is cut off; default 4,096

	// Revision to begin at, if the store and Ceiling know of none that is higher:
	// ByClock of the present, or revisions and SOA serials of a registry that
	// forgets them begin again at 1.
	Revision uint64
	// Ceiling is the path of a file of a few octets that holds the highest revision
	// that may have been given out, also beside a Backend: a copy of its file
	// that is put back does not know of all. Directories are made. "": none, so that
	// a registry that changes more often than ByClock counts gives out the same
	// revisions again after a crash.
	Ceiling string

	Logger *slog.Logger // nil: silent
}

// Guard holds back mass expiry that is not proven. The zero value is on.
type Guard struct {
	Off     bool
	Percent int // of a service that may go in one lease, expired or refusing, but at least one; default 30, 1..100
	Min     int // size from which a service is guarded; default 3. In smaller ones a silent instance is probed before it goes

	Leases int           // a reprieve ends after so many leases; default 10
	Max    time.Duration // and at the latest after this; default 15m

	NoProbe      bool          // no proof of death by connecting
	Probes       int           // at once; default 64
	ProbeTimeout time.Duration // default 1s
}

// Check returns c with the default in each field that is zero, or a *setting.Error
// with what Open would refuse. It opens nothing.
func Check(c Config) (Config, error) {
	def(&c.Lease, defaultLease(c))
	def(&c.MinLease, min(3*time.Second, c.Lease))
	def(&c.MaxLease, max(24*time.Hour, c.Lease))
	def(&c.TTL, min(5*time.Second, (c.Lease/2).Truncate(time.Second)))
	def(&c.MaxInstances, 1<<20)
	def(&c.MaxPerService, 10_000)
	def(&c.History, 32_768)
	def(&c.HistoryAge, 24*time.Hour)
	def(&c.Fences, 65_536)
	def(&c.FenceAge, 24*time.Hour)
	def(&c.WatchQueue, 4096)
	def(&c.Guard.Percent, 30)
	def(&c.Guard.Min, 3)
	def(&c.Guard.Leases, 10)
	def(&c.Guard.Max, 15*time.Minute)
	def(&c.Guard.Probes, 64)
	def(&c.Guard.ProbeTimeout, time.Second)
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

// defaultLease is 15 seconds, or the nearest to it that the bounds of c allow.
func defaultLease(c Config) time.Duration {
	lease := max(15*time.Second, c.MinLease)
	if c.MaxLease > 0 {
		lease = min(lease, c.MaxLease)
	}
	return lease
}

const (
	// minLease leaves room for a TTL: whole seconds, at most half of the lease.
	minLease = 2 * time.Second
	// mostThings is more than a machine has memory for: a larger number is a typing
	// error, and would be found only when the memory is gone.
	mostThings = 100_000_000
	// mostLeases is longer than any fault that a guard should bridge.
	mostLeases = 1000
)

func (c *Config) check() error {
	switch {
	case c.Lease < minLease:
		return setting.Errorf("Lease", "%v is too short; expected at least %v, because a TTL is whole seconds and at most half of a lease", c.Lease, minLease)
	case c.MinLease < minLease:
		return setting.Errorf("MinLease", "%v is too short; expected at least %v, because a TTL is whole seconds and at most half of a lease", c.MinLease, minLease)
	case c.MaxLease < c.MinLease:
		return setting.Errorf("MaxLease", "%v is below the least lease, %v", c.MaxLease, c.MinLease)
	case c.Lease < c.MinLease || c.Lease > c.MaxLease:
		return setting.Errorf("Lease", "%v is not between the least lease, %v, and the longest, %v", c.Lease, c.MinLease, c.MaxLease)
	case c.TTL < time.Second || c.TTL%time.Second != 0:
		return setting.Errorf("TTL", "%v; expected whole seconds, at least 1s", c.TTL)
	case c.TTL > c.Lease/2:
		return setting.Errorf("TTL", "%v is more than half of the lease, %v: clients would remember an instance for longer than its lease", c.TTL, c.Lease)
	case c.Guard.Percent < 1 || c.Guard.Percent > 100:
		return setting.Errorf("Guard.Percent", "%d%%; expected 1%% to 100%%", c.Guard.Percent)
	}
	for _, n := range []struct {
		field       string
		value, most int
	}{
		{"MaxInstances", c.MaxInstances, mostThings},
		{"MaxPerService", c.MaxPerService, mostThings},
		{"History", c.History, mostThings},
		{"Fences", c.Fences, mostThings},
		{"WatchQueue", c.WatchQueue, mostThings},
		{"Guard.Min", c.Guard.Min, mostThings},
		{"Guard.Probes", c.Guard.Probes, mostThings},
		{"Guard.Leases", c.Guard.Leases, mostLeases},
	} {
		if n.value < 1 || n.value > n.most {
			return setting.Errorf(n.field, "%d; expected 1 to %d", n.value, n.most)
		}
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"HistoryAge", c.HistoryAge},
		{"FenceAge", c.FenceAge},
		{"Guard.Max", c.Guard.Max},
		{"Guard.ProbeTimeout", c.Guard.ProbeTimeout},
	} {
		if d.value < 0 {
			return setting.Errorf(d.field, "%v is negative", d.value)
		}
	}
	return nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
