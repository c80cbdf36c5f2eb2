package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Limits of a transaction with the embedded server, whose own limits are set to fit: a
// batch of the registry, 4096 changes, is one transaction. A request has 1 MiB of room
// for what is around keys and values.
const (
	embeddedOps   = 8192
	embeddedBytes = 7 << 20
	requestBytes  = 8 << 20
)

// quota is the largest size of the data: etcd's own default. Its maximum is 8 GiB.
const quota = 2 << 30

const (
	// handOverTime bounds how long a stop waits until another server leads. It takes
	// milliseconds, but etcd would wait for seven seconds for one that has stopped, too.
	handOverTime = 2 * time.Second
	// closeTime bounds how long a stop waits for etcd, which writes its database at the end:
	// a slow disk needs seconds for it.
	closeTime = 20 * time.Second
	// stuckTime bounds it when a goroutine of etcd waits for ever: the stop may need a lock
	// that it has.
	stuckTime = 2 * time.Second
)

// embedded is the store on the server inside this process.
type embedded struct {
	*client
	dir     string // of etcd's data
	socket  string // for etcdctl; empty: none
	own     dnsd.Peer
	peers   *peersClient
	log     *slog.Logger
	closing context.Context // ended by Close
	close   context.CancelFunc

	etcd   *embed.Etcd
	rpc    *grpc.Server
	inside *bufconn.Listener

	moving sync.Mutex // held while StepAside moves the leadership

	stuck chan struct{} // has a value when a goroutine of etcd waits for ever

	mu    sync.Mutex // guards ended
	ended error      // why etcd has ended by itself

	once   sync.Once
	closed error
}

// openCluster starts the server. It waits for no other server but for a short answer.
func openCluster(ctx context.Context, s dnsd.SharedStore, log *slog.Logger, change func(*embed.Config)) (kv.Store, error) {
	e := &embedded{own: ownPeer(s), dir: filepath.Join(s.Dir, "etcd"), log: log, stuck: make(chan struct{}, 1)}
	if e.own.URL == "" {
		return nil, fmt.Errorf("store cluster: name %q is none of the peers", s.Name)
	}
	conf, err := clientTLS(s.TLS.Cert, s.TLS.Key, s.CA)
	if err != nil {
		return nil, err
	}
	e.peers = newPeersClient(conf)
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return nil, fmt.Errorf("store cluster: %w", err)
	}
	id, err := readIdentity(e.dir)
	switch {
	case errors.Is(err, errLocked):
		return nil, fmt.Errorf("store cluster: %s: %w: is dnsd running already?", s.Dir, errLocked)
	case err != nil:
		return nil, fmt.Errorf("store cluster: %w", err)
	}
	words := e.peers.ask(ctx, s)
	how, err := plan(s, id, words)
	if err != nil {
		return nil, fmt.Errorf("store cluster: %w", err)
	}
	for _, w := range words {
		if bad := (*badPeer)(nil); errors.As(w.err, &bad) {
			log.Warn("a server of the cluster cannot be used", "peer", w.url, "error", bad)
		}
	}
	cfg, err := e.config(s, how)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(cfg)
	}
	e.closing, e.close = context.WithCancel(context.Background())
	if err := e.start(ctx, cfg); err != nil {
		e.close()
		return nil, fmt.Errorf("store cluster: %w", err)
	}
	if err := e.connect(); err != nil {
		e.close()
		e.etcd.Close()
		return nil, fmt.Errorf("store cluster: %w", err)
	}
	go e.watchOver()
	return e, nil
}

// config is that of etcd.
func (e *embedded) config(s dnsd.SharedStore, how start) (*embed.Config, error) {
	peer, err := url.Parse(e.own.URL)
	if err != nil {
		return nil, fmt.Errorf("store cluster: peer %s: %w", e.own.Name, err)
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = e.own.Name, e.dir
	cfg.InitialCluster, cfg.InitialClusterToken = how.initial, "rollcall"
	if how.existing {
		cfg.ClusterState = embed.ClusterStateFlagExisting
	}
	cfg.AdvertisePeerUrls = []url.URL{*peer}
	cfg.ListenPeerUrls = []url.URL{listenURL(*peer)}
	if peer.Scheme == "https" {
		cfg.PeerTLSInfo.CertFile, cfg.PeerTLSInfo.KeyFile, cfg.PeerTLSInfo.TrustedCAFile = s.TLS.Cert, s.TLS.Key, s.CA
		cfg.PeerTLSInfo.ClientCertAuth = true
		// That the certificate is signed by the CA is enough. A machine may have more
		// addresses than its certificate.
		cfg.PeerTLSInfo.SkipClientSANVerify = true
	}
	// No port for clients. A URL for them is what tells the other servers that this one has
	// started; it is a place where no client looks.
	cfg.ListenClientUrls, cfg.EnableGRPCGateway = nil, false
	cfg.AdvertiseClientUrls = []url.URL{{Scheme: "unix", Path: "/" + e.own.Name}}

	// Old revisions are kept for an hour, for followers that were away.
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, "1h"
	cfg.QuotaBackendBytes = quota
	cfg.MaxTxnOps, cfg.MaxRequestBytes = embeddedOps, requestBytes
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(e.log, e.lastWord))
	return cfg, nil
}

// listenURL is where a server listens for the others. Etcd wants an address; for a name,
// which may have several, it is any.
func listenURL(peer url.URL) url.URL {
	if net.ParseIP(peer.Hostname()) == nil && peer.Hostname() != "localhost" {
		peer.Host = net.JoinHostPort("::", peer.Port())
	}
	return peer
}

// start starts etcd. If the context ends before, etcd is stopped when it has started.
func (e *embedded) start(ctx context.Context, cfg *embed.Config) error {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan result, 1)
	go func() {
		etcd, err := embed.StartEtcd(cfg)
		started <- result{etcd, err}
	}()
	select {
	case r := <-started:
		if r.err != nil {
			return fmt.Errorf("peer %s %s: %w", e.own.Name, e.own.URL, r.err)
		}
		e.etcd = r.etcd
		return nil
	case <-e.closing.Done(): // by fail
		return fmt.Errorf("peer %s: %w", e.own.Name, e.why())
	case <-ctx.Done():
		go func() {
			if r := <-started; r.etcd != nil {
				r.etcd.Close()
			}
		}()
		return ctx.Err()
	}
}

// memory is the size of the buffers between the client and the server.
const memory = 1 << 20

// connect makes the client, and the socket for etcdctl.
func (e *embedded) connect() error {
	// The same server of gRPC that etcd has for a port of its own. What it refuses, and
	// how, is tested with it; the calls that etcd offers inside a process do not ask
	// whether there is a leader.
	e.rpc = v3rpc.Server(e.etcd.Server, nil, nil)
	e.inside = bufconn.Listen(memory)
	go e.rpc.Serve(e.inside)
	e.client = newClient(kv.Limits{Ops: embeddedOps, Bytes: embeddedBytes}, e.log)
	if err := e.attach(e.client); err != nil {
		return err
	}
	l, err := listenSocket(e.dir, filepath.Join(filepath.Dir(e.dir), "etcd.sock"))
	if err != nil {
		e.log.Warn("there is no socket for etcdctl", "error", err)
		return nil
	}
	e.socket = l.path
	go e.rpc.Serve(l)
	return nil
}

// attach gives a client this server.
func (e *embedded) attach(c *client) error {
	peer, err := url.Parse(e.own.URL)
	if err != nil {
		return err
	}
	peer.Scheme = "http" // nothing else reads the memory
	s, err := newServer(c.life, peer, nil, func(ctx context.Context, _ string) (net.Conn, error) {
		return e.inside.DialContext(ctx)
	})
	if err != nil {
		return err
	}
	s.url = e.own.URL
	c.servers = []*server{s}
	return nil
}

// lastWord notes why etcd goes no further, and whether a goroutine of it waits for ever.
func (e *embedded) lastWord(err error, waits bool) {
	if waits {
		select {
		case e.stuck <- struct{}{}:
		default: // another one waits, too
		}
	}
	if strings.HasSuffix(err.Error(), lostLog) {
		err = &oldDataError{filepath.Dir(e.dir), err}
	}
	e.fail(err)
}

// oldDataError is that of a server that would break what it has promised to the others.
type oldDataError struct {
	dir   string
	cause error
}

func (o *oldDataError) Error() string {
	return fmt.Sprintf("the data in %s are older than what this peer has confirmed to the others, as after they were put back from a copy: remove the peer from the cluster, and add it again with an empty directory: docs/cluster.md (%v)", o.dir, o.cause)
}

func (o *oldDataError) Unwrap() error { return o.cause }

// fail notes why etcd has ended.
func (e *embedded) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended == nil && e.closing.Err() == nil {
		e.ended = err
		e.close()
	}
}

// why is why etcd has ended by itself, or nil.
func (e *embedded) why() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}

// watchOver waits for the end of etcd. Then every call fails at once.
func (e *embedded) watchOver() {
	select {
	case <-e.etcd.Server.StopNotify():
		e.fail(errors.New("it stopped; if this peer was removed from the cluster, this is why"))
	case err := <-e.etcd.Err():
		e.fail(fmt.Errorf("its port for the other servers: %w", err))
	case <-e.closing.Done():
	}
	if why := e.why(); why != nil {
		says := "etcd has ended inside this dnsd; DNS goes on; restart dnsd"
		if old := (*oldDataError)(nil); errors.As(why, &old) { // it would end again
			says = "etcd has ended inside this dnsd; DNS goes on"
		}
		e.log.Error(says, "error", why)
	}
	e.rpc.Stop()
}

// Close implements [kv.Store]. If this server leads the others, another one leads first.
func (e *embedded) Close() error {
	e.once.Do(func() { e.closed = e.stop() })
	return e.closed
}

func (e *embedded) stop() error {
	e.close()
	e.client.Close()
	e.rpc.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.handOver()
		e.etcd.Server.HardStop() // Close would hand over again
		e.etcd.Close()
	}()
	late := time.NewTimer(closeTime)
	defer late.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-e.stuck:
			late.Reset(stuckTime)
		case <-late.C:
			if why := e.why(); why != nil {
				return fmt.Errorf("store cluster: etcd did not stop after it had failed: %w", why)
			}
			return fmt.Errorf("store cluster: etcd did not stop within %v", closeTime)
		}
	}
}

// Tests: embedded_test.go, members_test.go, conformance_test.go.
