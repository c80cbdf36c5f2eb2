package rpcserver

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/rpc"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// The defaults of Config.
const (
	defaultMaxConns         = 10_000
	defaultMaxInFlight      = 4096
	defaultMaxInFlightTotal = 65_536
	defaultMaxFrame         = 64 << 20
	defaultMaxBytesTotal    = 256 << 20
	defaultFrameTimeout     = 30 * time.Second
	defaultWriteTimeout     = 10 * time.Second
	defaultQuiet            = 300 * time.Millisecond
	defaultShutdownTimeout  = 30 * time.Second
)

// Config says how to serve. The zero value serves, unregistered, on any port.
type Config struct {
	// Addr is where Run and ListenAndServe("") listen: "host:port". Default ":0",
	// a free port, which is as good as any: clients learn it from DNS.
	Addr string
	// Register publishes the server while it serves. Port is filled in from the
	// listener, Host too if the listener is bound to one address. Nil: nobody is
	// told.
	Register *register.Config
	// TLS makes every listener a TLS listener.
	TLS *tls.Config
	// Codec replaces gob: jsonrpc.NewServerCodec, for instance. Its writes are
	// buffered and joined, so it need not buffer itself.
	Codec func(io.ReadWriteCloser) rpc.ServerCodec

	// MaxConns is how many connections are served. Beyond that one gives its place to a
	// new one: one that has asked nothing for a second since it came, else an idle one
	// of the address (IPv6: the /64) that has the most, for a client of another address.
	// If there is none, the new one is told to go elsewhere and closed. Default 10,000.
	MaxConns int
	// MaxInFlight is how many calls of one connection run at once, and
	// MaxInFlightTotal of all; beyond that calls wait for their turn. Defaults 4096
	// and 65,536.
	MaxInFlight, MaxInFlightTotal int
	// MaxFrame is how many bytes one message (gob) or request may have; decoded, an
	// argument may take four times that. The connection of a larger one is closed.
	// Default 64 MiB.
	MaxFrame int
	// MaxBytesTotal is how many bytes the requests of all connections may have that are
	// being read, wait for their turn, or run, and their arguments of 1 MiB and more;
	// requests that fit the read buffer (16 KiB) and need not wait are not counted. Beyond that requests are left
	// unread, but for one, which may be as large as MaxFrame. Default 256 MiB.
	MaxBytesTotal int
	// FrameTimeout is how long a request may take to arrive once it has begun, or
	// a TLS handshake. Default 30s.
	FrameTimeout time.Duration
	// IdleTimeout closes connections that send nothing while nothing of theirs is
	// in flight. Zero: never, for net/rpc's own client does not connect again; dead
	// peers are found by TCP keepalive.
	IdleTimeout time.Duration
	// WriteTimeout bounds each write of responses, of at most 256 KiB; a client that
	// does not read for so long is disconnected. Default 10s.
	WriteTimeout time.Duration
	// Quiet is how long nothing must arrive on a connection before Shutdown
	// believes that nothing will. Default 300ms.
	Quiet time.Duration
	// ShutdownTimeout bounds the shutdown at the end of Run, which takes the record's
	// TTL at least if the server is registered. Default 30s.
	ShutdownTimeout time.Duration

	// Trace is told what happens. Nil: nobody is.
	Trace *Trace
	// Logger gets panics, refused connections, and what happens to the
	// registration. Nil: of the latter the standard logger (package log) hears what
	// must not go unnoticed, see register.Config.
	Logger *slog.Logger
}

func (cfg Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	dur := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&cfg.MaxConns, defaultMaxConns)
	def(&cfg.MaxInFlight, defaultMaxInFlight)
	def(&cfg.MaxInFlightTotal, defaultMaxInFlightTotal)
	def(&cfg.MaxFrame, defaultMaxFrame)
	def(&cfg.MaxBytesTotal, defaultMaxBytesTotal)
	dur(&cfg.FrameTimeout, defaultFrameTimeout)
	dur(&cfg.WriteTimeout, defaultWriteTimeout)
	dur(&cfg.Quiet, defaultQuiet)
	dur(&cfg.ShutdownTimeout, defaultShutdownTimeout)
	if cfg.Addr == "" {
		cfg.Addr = ":0"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}
