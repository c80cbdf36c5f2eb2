package rpcserver

import (
	"cmp"
	"crypto/tls"
	"io"
	"log/slog"
	"net/rpc"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// Config says how to serve. The zero value serves, without a registration, on any port.
type Config struct {
	// Addr is where Run and ListenAndServe("") listen: "host:port". Default ":0",
	// a free port, which is as good as any: clients learn it from DNS.
	Addr string
	// Announce registers the server while it serves, so that DNS publishes it: once for
	// each service that it offers. A Port of 0 is filled in from the listener, and so is an
	// empty Host if the listener is bound to one address. Hooks may list several dnsd that
	// share a registry. Empty: it is not registered.
	Announce []register.Config
	// Needs says which receivers a service needs, by Service of Announce: while one of
	// them does not serve, the instance leaves DNS, see Server.SetServing. A service that is
	// not listed needs all. The receivers are registered before Serve.
	Needs map[string][]string
	// TLS makes every listener a TLS listener.
	TLS *tls.Config
	// Codec replaces gob: jsonrpc.NewServerCodec, for instance. Its writes are
	// buffered and joined, so it need not buffer itself. It carries no deadlines, cancels
	// and metadata: the context of a method ends with the connection. While
	// Limits.BytesTotal is used up, nothing is read from it, and the end of a connection is
	// noticed only after that.
	Codec func(io.ReadWriteCloser) rpc.ServerCodec

	// Middleware is called around each method, the first outermost.
	Middleware []Middleware

	// Limits bound what clients may use.
	Limits Limits

	// Quiet is how long nothing must arrive on a connection before Shutdown
	// believes that nothing will. Default 300ms.
	Quiet time.Duration
	// ShutdownTimeout bounds the shutdown at the end of Run, which takes the record's
	// TTL at least if the server is registered. Default 30s.
	ShutdownTimeout time.Duration

	// Trace is told what happens. Nil: nothing is told.
	Trace *Trace
	// Logger gets panics, refused connections, and what happens to the
	// registration. docs/metrics-go.md says what the levels mean. It is called with no lock
	// held: one that blocks delays what the line is about, and no other call or connection.
	// Lines about refused connections, failed accepts and answers that cannot be encoded are
	// written aside: Shutdown and Serve do not wait for them, so it may be called for a moment
	// after both have returned.
	// Nil: the standard logger (package log) gets what must not go unnoticed about the
	// registration, see register.Config, and nothing else.
	Logger *slog.Logger
}

// Limits bound what clients may use. Zero fields mean the defaults.
type Limits struct {
	// Conns is how many connections are served. Beyond that a connection gives its place
	// to a new one: one that has asked nothing for a second since it came, else an idle
	// one of the address (IPv6: the /64) that has the most, for a client of another
	// address. If there is none, the new one is told to go elsewhere and closed.
	// Default 10,000.
	Conns int
	// InFlight is how many calls of one connection run at once. Beyond that calls wait
	// for their turn. Default 4096.
	InFlight int
	// InFlightTotal is InFlight for all connections together. Default 65,536.
	InFlightTotal int
	// Frame is how many bytes one message (gob) or request may have. Decoded, an
	// argument may take four times that. The connection of a larger one is closed.
	// Default 64 MiB.
	Frame int
	// BytesTotal is how many bytes the requests of all connections may have that are
	// being read, wait for their turn, or run, together with their arguments of 1 MiB and
	// more. Requests that fit the read buffer (16 KiB) and need not wait are not
	// counted. Beyond the limit requests are left unread, except for one, which may be as
	// large as Frame. Default 256 MiB.
	BytesTotal int
	// FrameTimeout is how long a request may take to arrive once it has begun, or
	// a TLS handshake. Default 30s.
	FrameTimeout time.Duration
	// IdleTimeout closes connections that send nothing while no call of theirs is
	// in flight. Zero: never, because net/rpc's own client does not connect again. Dead
	// clients are found by TCP keepalive.
	IdleTimeout time.Duration
	// WriteTimeout bounds each write of responses, of at most 256 KiB. A client that
	// does not read for so long is disconnected. Default 10s.
	WriteTimeout time.Duration
}

const defaultQuiet = 300 * time.Millisecond

// withDefaults fills in what is zero or negative.
func (cfg Config) withDefaults() Config {
	cfg.Addr = cmp.Or(cfg.Addr, ":0")
	cfg.Quiet = cmp.Or(max(cfg.Quiet, 0), defaultQuiet)
	cfg.ShutdownTimeout = cmp.Or(max(cfg.ShutdownTimeout, 0), 30*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &cfg.Limits
	l.Conns = cmp.Or(max(l.Conns, 0), 10_000)
	l.InFlight = cmp.Or(max(l.InFlight, 0), 4096)
	l.InFlightTotal = cmp.Or(max(l.InFlightTotal, 0), 65_536)
	l.Frame = cmp.Or(max(l.Frame, 0), 64<<20)
	l.BytesTotal = cmp.Or(max(l.BytesTotal, 0), 256<<20)
	l.FrameTimeout = cmp.Or(max(l.FrameTimeout, 0), 30*time.Second)
	l.WriteTimeout = cmp.Or(max(l.WriteTimeout, 0), 10*time.Second)
	return cfg
}

// Tests: limits_test.go, stop_test.go.
