package dnsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/member"
	"github.com/rollcall-dns/rollcall/dnsd/internal/peer"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/release"
)

// A membership is a block's part in several dnsd that share one registry: the connection
// to the store, the member that follows it, and the connections among the members. It
// lives as long as the registry of the block.
type membership struct {
	cfg    SharedStore
	kind   string // etcd or cluster
	log    *slog.Logger
	reg    *registry.Registry
	store  kv.Store
	me     *peer.Identity
	server *peer.Server // of other members
	client *peer.Client // of other members' servers
	writes *peer.Writes
	member *member.Member // made by join, before anything runs

	zones   atomic.Pointer[[]*published] // that are told whether their content is old
	looking sync.Mutex
	won     atomic.Uint64 // how often this member became the writer
	task    *task
	told    bool // a failure of the task ends the server
}

const (
	// openTime bounds what opening a store may take: it does not wait for other machines.
	openTime = 30 * time.Second
	// verifyTime bounds the look at the store before anything runs. A store that is away
	// must not delay a start for longer.
	verifyTime = time.Second
	// resignTime bounds how long a stop waits until another member may write.
	resignTime = 2 * time.Second
	// leaveTime bounds how long the end of a member takes: it deletes its key.
	leaveTime = time.Second
	// knowTime bounds how long a connection waits until this member has heard of the one
	// at the other end.
	knowTime = time.Second
	// healthEvery is how soon answers say that their content is old.
	healthEvery = 250 * time.Millisecond
)

// openMembership opens the store of z, and the listener for the other members. reg follows
// the store. join completes it.
func openMembership(z Zone, cfg Config, reg *registry.Registry, log *slog.Logger) (_ *membership, err error) {
	m := &membership{cfg: *z.Store.Shared, kind: z.Store.Kind, log: log, reg: reg}
	m.zones.Store(&[]*published{})
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	if m.store, err = cfg.Stores.Open(ctx, m.cfg, log); err != nil {
		return nil, &fault{path: "store", err: err}
	}
	if m.me, err = peer.NewIdentity(); err != nil {
		return nil, &fault{path: "store", err: err}
	}
	m.server, err = peer.Listen(peer.ServerConfig{
		Name: m.cfg.Name, Addr: m.cfg.Listen, Identity: m.me, Known: m.knows, Registry: reg, CertificateEnds: m.certificateEnds, Logger: log,
	})
	if err != nil {
		return nil, at("store listen", m.cfg.Listen, err)
	}
	m.client = peer.NewClient(m.me, m.dial(cfg.Dial))
	m.writes = peer.NewWrites(peer.WritesConfig{Registry: reg, Members: m, Client: m.client, Logger: log})
	return m, nil
}

// join makes the member of z, whose hook has a URL, and looks whether the keys are its own.
// reload says that another registry published z before and goes on until m has content.
func (m *membership) join(z Zone, t told, hookURL string, dial peer.Dial, reload bool) (err error) {
	address := m.cfg.address(m.server.Addr())
	cfg := member.Config{
		Store: m.store, Registry: m.reg, Prefix: m.cfg.Prefix, Zone: z.Origins[0], Settings: alike(t),
		Name: m.cfg.Name, Address: address, Hook: seenFrom(address, z.Hook.Addr, hookURL),
		Certificate: m.me.Fingerprint().String(), Version: release.Rollcall(),
		Session: m.cfg.Session, Ask: m.ask, CertificateEnds: m.certificateEnds, Logger: m.log, Reload: reload,
	}
	if m.cfg.Cache != cacheOff {
		cfg.Copy = m.cfg.Cache
	}
	if dial != nil {
		cfg.Probe = func(ctx context.Context, addr string) error {
			c, err := dial(ctx, "tcp", addr)
			if err == nil {
				err = c.Close()
			}
			return err
		}
	}
	if m.member, err = member.New(cfg); err != nil {
		return blame(memberWords, err)
	}
	for _, text := range m.cfg.doubtful(m.kind, address) {
		m.log.Warn(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), verifyTime)
	defer cancel()
	return m.refused(m.member.Verify(ctx))
}

// refused returns the fault of an error of the member; nil for one that may pass.
func (m *membership) refused(err error) error {
	var foreign *member.ForeignError
	switch {
	case errors.As(err, &foreign):
		return &fault{path: "store prefix", err: err}
	case errors.Is(err, kv.ErrDenied):
		return &fault{path: "store", err: err}
	}
	return nil
}

// start runs the member, if it does not run. If it fails, failed gets the error; nil: it
// gets it later.
func (m *membership) start(z Zone, failed chan<- error) {
	if m.task == nil {
		m.task = launch(func(ctx context.Context) error {
			err := m.run(ctx)
			if f := m.refused(err); f != nil {
				return z.fail(f)
			}
			if err != nil {
				return z.fail(&fault{path: "store", err: err})
			}
			return nil
		})
	}
	if failed != nil && !m.told {
		m.told = true
		m.task.report(failed)
	}
}

// run takes part until ctx ends.
func (m *membership) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	defer parts.Wait()
	ended := make(chan error, 2)
	parts.Go(func() { ended <- m.server.Run(ctx) })
	parts.Go(func() { ended <- m.member.Run(ctx) })
	parts.Go(func() { m.tellZones(ctx) })
	err := <-ended
	cancel()
	return errors.Join(err, <-ended)
}

// tellZones tells the zones whether their content is old, and counts elections.
func (m *membership) tellZones(ctx context.Context) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	led := false
	for {
		changed := m.member.Changed()
		h := m.look()
		if h.Writer && !led {
			m.won.Add(1)
		}
		led = h.Writer
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look returns the member's health, after the zones were told.
func (m *membership) look() member.Health {
	m.looking.Lock() // so that an older health does not come last
	defer m.looking.Unlock()
	h := m.member.Health()
	for _, p := range *m.zones.Load() {
		// Without content nothing is stale. When it comes, it may come from the local copy.
		p.zone.SetStale(h.Stale || !h.Loaded)
	}
	return h
}

// resign makes another member the writer. It is the first step of a stop.
func (m *membership) resign() {
	if m == nil || m.task == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), resignTime)
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- m.member.Resign(ctx) }()
	var err error
	select {
	case err = <-over:
	case <-m.task.done: // it resigns no more
	}
	if err != nil {
		m.log.Warn("the others have to wait until the session of this dnsd is over", "error", err)
	}
}

// close ends everything. The registry is still open.
func (m *membership) close() {
	if m == nil {
		return
	}
	closeStore := sync.OnceFunc(func() {
		if m.store == nil {
			return
		}
		if err := m.store.Close(); err != nil {
			m.log.Warn("closing the store", "error", err)
		}
	})
	// A store that hangs is not waited for: the session of this member ends by itself.
	hangs := time.AfterFunc(leaveTime, closeStore)
	m.task.stop()
	hangs.Stop()
	if m.writes != nil {
		m.writes.Close()
		m.client.Close()
	}
	if m.server != nil {
		m.server.Close()
	}
	closeStore()
}

// String is for the log: where the keys are, and the member's name and address.
func (m *membership) String() string {
	return fmt.Sprintf(" %s, member %s at %s", m.cfg.Prefix, m.cfg.Name, m.server.Addr())
}

// address is what other members dial, if this one listens at an address.
func (s *SharedStore) address(bound net.Addr) string {
	_, port, _ := net.SplitHostPort(bound.String())
	if s.Advertise != "" {
		host, given, _ := net.SplitHostPort(s.Advertise)
		if given != "0" {
			port = given
		}
		return net.JoinHostPort(host, port)
	}
	return net.JoinHostPort(boundAddrs([]string{s.Listen}, interfaceAddrs)[0].String(), port)
}

// doubtful lists what is unlikely to be meant, for the log.
func (s *SharedStore) doubtful(kind, address string) (texts []string) {
	alone := true // nothing says that there are other machines
	for _, u := range s.Endpoints {
		u, err := parseServerURL(u, exampleEtcd)
		alone = alone && err == nil && u.addr().IsLoopback()
	}
	for _, p := range s.Peers {
		u, err := parseServerURL(p.URL, examplePeer)
		alone = alone && err == nil && u.addr().IsLoopback()
	}
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().IsLoopback() && !alone {
		texts = append(texts, fmt.Sprintf("the other dnsd cannot reach this one at %s, an address of loopback: their writes cannot be passed on to it; set listen in the braces of store %s", address, kind))
	}
	if n := len(s.Peers); n > 0 && n%2 == 0 {
		texts = append(texts, fmt.Sprintf("of %d peers %d may be lost, as of %d: an odd number is better", n, (n-1)/2, n-1))
	}
	return texts
}

// Tests: membership_test.go, several_test.go.
