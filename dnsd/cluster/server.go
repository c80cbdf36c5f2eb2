package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
)

const (
	// A silent connection with a watch on it is tested, and closed when the other end
	// does not answer. gRPC takes no shorter time than 10s, and a server of etcd closes
	// the connection of a client that tests it more often than each 5s. Calls notice a
	// server that hangs sooner, see patience.
	pingTime, pingTimeout = 10 * time.Second, 2 * time.Second

	// firstPause and lastPause are between two attempts to connect. The last one is
	// short, since a store that is back has to be noticed within a session.
	firstPause, lastPause = 100 * time.Millisecond, 2 * time.Second
	connectTimeout        = 3 * time.Second

	// maxAnswer bounds one message of etcd. A watch that has to catch up gets up to 1000
	// revisions in one message.
	maxAnswer = 256 << 20
)

// server is one of etcd's servers, as a client sees it. The connection is made when it
// is needed first, and again when it was lost.
type server struct {
	url  string
	conn *grpc.ClientConn
	life context.Context // of the client

	kv          pb.KVClient
	watch       pb.WatchClient
	lease       pb.LeaseClient
	cluster     pb.ClusterClient
	maintenance pb.MaintenanceClient
	auth        pb.AuthClient

	keeper keeper

	known   atomic.Bool           // the version was asked for, and is good
	refused atomic.Pointer[error] // why TLS failed the last time; nil: it did not

	mu     sync.Mutex // guards what follows
	use    context.Context
	unused context.CancelCauseFunc // ends use: the server is left
}

// newServer does not connect. The context is the client's life. dial is nil for TCP.
func newServer(life context.Context, u *url.URL, conf *tls.Config, dial func(context.Context, string) (net.Conn, error)) (*server, error) {
	s := &server{url: u.String(), life: life}
	creds := insecure.NewCredentials()
	if u.Scheme == "https" {
		creds = &handshakes{TransportCredentials: credentials.NewTLS(conf), refused: &s.refused}
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingTime, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: lastPause},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithStatsHandler(sentNotes{}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithDisableServiceConfig(), // it would be looked up in DNS
	}
	target := "passthrough:///" + u.Host
	if dial == nil {
		target, dial = "dns:///"+u.Host, s.dial
	}
	conn, err := grpc.NewClient(target, append(options, grpc.WithContextDialer(dial))...)
	if err != nil {
		return nil, fmt.Errorf("etcd %s: %w", u, err)
	}
	s.conn = conn
	s.kv, s.watch, s.lease = pb.NewKVClient(conn), pb.NewWatchClient(conn), pb.NewLeaseClient(conn)
	s.cluster, s.maintenance, s.auth = pb.NewClusterClient(conn), pb.NewMaintenanceClient(conn), pb.NewAuthClient(conn)
	s.keeper.init()
	s.use, s.unused = context.WithCancelCause(life)
	return s, nil
}

// dial connects over TCP, and through no proxy: the store is near, and its connections are
// long. Of a server that is away, nothing is known of its certificates.
func (s *server) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		s.refused.Store(nil)
	}
	return conn, err
}

// refusal is why TLS failed the last time, or nil.
func (s *server) refusal() error {
	if err := s.refused.Load(); err != nil {
		return *err
	}
	return nil
}

// inUse is a context that ends when the server is left.
func (s *server) inUse() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use
}

// leave ends all streams from the server, for a reason.
func (s *server) leave(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unused(reason)
	s.use, s.unused = context.WithCancelCause(s.life)
}

// The oldest version that works. Version 3.3 has another API for what is used here.
const oldestMajor, oldestMinor = 3, 4

// check asks for the version of a server once.
func (s *server) check(ctx context.Context) error {
	if s.known.Load() {
		return nil
	}
	answer, err := s.maintenance.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return err
	}
	if err := checkVersion(answer.GetVersion()); err != nil {
		return err
	}
	s.known.Store(true)
	return nil
}

// oldError says why a version of etcd cannot be used.
type oldError struct{ version string }

func (e *oldError) Error() string {
	return fmt.Sprintf("it is version %q; %d.%d is the oldest that works: upgrade etcd", e.version, oldestMajor, oldestMinor)
}

// checkVersion returns an *oldError, or nil.
func checkVersion(version string) error {
	a, rest, _ := strings.Cut(version, ".")
	b, _, _ := strings.Cut(rest, ".")
	major, err1 := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return &oldError{version}
	}
	return nil
}

// sentNotes is told by gRPC what happens to a call.
type sentNotes struct{}

type sentKey struct{}

// noteSent returns a context, and a bool that is true after a request that was made with
// the context began to leave this process.
func noteSent(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return context.WithValue(ctx, sentKey{}, sent), sent
}

// HandleRPC implements [stats.Handler]. The header of a request goes into the queue of
// the connection immediately before this call, and the request after it, both in the
// caller's goroutine. So the note is complete when the caller has its answer.
func (sentNotes) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); !ok {
		return
	}
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
}

// TagRPC implements [stats.Handler].
func (sentNotes) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements [stats.Handler].
func (sentNotes) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (sentNotes) HandleConn(context.Context, stats.ConnStats) {}

// Tests: server_test.go.
