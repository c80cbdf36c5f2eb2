package register

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/rollcall-dns/rollcall/internal/srvname"
)

const (
	// defaultTimeout leaves room for a second hook within the default lease:
	// renewal at 5 s, 5 s lost on the first hook, 5 s left for the next.
	defaultTimeout = 5 * time.Second
)

// Config says what to register and where. Service and Registration.Port are
// required.
type Config struct {
	// Hooks are the hooks of the dnsd that share one registry, as base URLs or host:port
	// (http). One is used, at first the first, as long as it works. When it does not
	// answer, or answers that it cannot serve now (503), the next is tried at once, and
	// all again after a pause if all have failed. Empty: those in the environment variable
	// ROLLCALL_HOOK, separated by commas or spaces, else http://127.0.0.1:8053.
	Hooks []string
	// Service is the name as in DNS: "_math._tcp".
	Service string
	// ID distinguishes the instances of a service: one lower-case label (RFC 1123).
	// Empty: it is made from the published host and port ("10-0-0-7-8080"), so that
	// a restart on the same port takes the place of its predecessor, and another
	// machine does not. Without Registration.Host the host is the address that this
	// machine uses to reach the hook.
	ID string
	// Registration is what to publish. Incarnation 0 means the time of Keep in
	// milliseconds; if this machine's clock was set back since an earlier process
	// registered, it means one more than the incarnation of that process.
	Registration
	// Background lets Keep return before the hook has answered. Problems of the
	// registration are then reported by Status and Done.
	Background bool
	// Token is sent as a bearer token.
	Token string
	// TLS is for https hooks: roots, client certificate. Nil: the system's roots.
	TLS *tls.Config
	// HTTP replaces the client made from TLS. Its Timeout is not used: a hold is a
	// request that does not end.
	HTTP *http.Client
	// Timeout bounds every request, and the first line of a hold. Default 5s. If there are
	// several Hooks, a third of the lease bounds a renewal as well.
	Timeout time.Duration
	// NoHold keeps the lease by PUTs only.
	NoHold bool
	// Logger gets a line when the state changes. Nil: the standard logger (package
	// log) gets only what an operator must know: that the instance is registered,
	// that dnsd does not answer (once, then less and less often), that another
	// process took the instance's place, that an operator drained it.
	Logger *slog.Logger
	// OnChange is called at each change of Status.State, and when an operator drains
	// the instance or ends the drain (Status.Published.State), in order, one call at
	// a time. It may call Close and Update. The next call waits until it returns.
	OnChange func(Status)

	ownIncarnation bool // Incarnation was not given by the caller
	quiet          bool // Logger was not given by the caller
}

// complete checks cfg and fills in the defaults.
func (cfg Config) complete(now time.Time) (Config, error) {
	if err := srvname.CheckService(cfg.Service); err != nil {
		return cfg, fmt.Errorf("register: Config.Service %q %w", cfg.Service, err)
	}
	if cfg.Port == 0 {
		return cfg, fmt.Errorf("register: Config.Port of %s is 0: give the port that the server listens on", cfg.Service)
	}
	hooks, err := findHooks(cfg.Hooks, os.Getenv(hookVar))
	if err != nil {
		return cfg, err
	}
	cfg.Hooks = hooks
	if cfg.ID == "" {
		host := cfg.Host
		if host == "" {
			host = ownHost(cfg.Hooks[0])
		}
		cfg.ID = deriveID(host, cfg.Port)
	}
	if problem := srvname.LabelProblem(cfg.ID); problem != "" {
		return cfg, fmt.Errorf("register: Config.ID %q %s: write 1 to 63 lower-case letters, digits and inner hyphens", cfg.ID, problem)
	}
	if cfg.Incarnation == 0 {
		cfg.Incarnation = uint64(now.UnixMilli())
		cfg.ownIncarnation = true
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
		cfg.quiet = true
	}
	return cfg, nil
}

// httpClient is the caller's client without its Timeout, or a new one. The second
// result is the transport of a new one, whose idle connections we must close.
func (cfg Config) httpClient() (*http.Client, *http.Transport) {
	if cfg.HTTP != nil {
		c := *cfg.HTTP
		c.Timeout = 0
		if c.CheckRedirect == nil {
			c.CheckRedirect = stay
		}
		return &c, nil
	}
	t := &http.Transport{
		Proxy:                 cfg.proxy,
		TLSClientConfig:       cfg.TLS.Clone(),
		TLSHandshakeTimeout:   cfg.Timeout,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   1,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	return &http.Client{Transport: t, CheckRedirect: stay}, t
}

// stay follows no redirect: the token would go to a host that the caller did not name.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
