package register

import (
	"crypto/tls"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	defaultHook = "http://127.0.0.1:8053" // where a dnsd without a Corefile listens
	// defaultTimeout leaves room for a second hook within the default lease:
	// renewal at 5 s, 5 s lost on the first hook, 5 s left for the next.
	defaultTimeout = 5 * time.Second
	maxLabel       = 63 // RFC 1035 section 2.3.4
)

// Config says what to register and where. Service and Registration.Port are
// required.
type Config struct {
	// Hooks are base URLs of the hooks of one registry, tried in this order, the
	// next after a failure. Default http://127.0.0.1:8053.
	Hooks []string
	// Service is the name as in DNS: "_math._tcp".
	Service string
	// ID tells the instances of a service apart: one lower-case label (RFC 1123).
	// Empty: made of the host (Registration.Host, else the machine's name) and the
	// port, "web7-8080", so that a restart on the same port takes its place.
	ID string
	// Registration is what to publish. Incarnation 0 is the time of Keep in
	// milliseconds.
	Registration
	// Background lets Keep return before the hook has answered. Registration
	// problems are then seen in Status and Done only.
	Background bool
	// Token is sent as a bearer token.
	Token string
	// TLS is for https hooks: roots, client certificate. Nil: the system's roots.
	TLS *tls.Config
	// HTTP replaces the client made from TLS. Its Timeout is not used: a held
	// registration is a request without an end.
	HTTP *http.Client
	// Timeout bounds every request, and the first line of a hold. Default 5s.
	Timeout time.Duration
	// NoHold keeps the lease by renewals alone.
	NoHold bool
	// Logger gets a line when the state changes. Nil: silent.
	Logger *slog.Logger
	// OnChange is called at each change of Status.State, one call at a time. It
	// must return soon and not call Close or Update.
	OnChange func(Status)
}

// complete checks cfg and fills in the defaults.
func (cfg Config) complete(now time.Time) (Config, error) {
	if !validService(cfg.Service) {
		return cfg, fmt.Errorf(`register: Config.Service %q: write it as in DNS, such as "_math._tcp"`, cfg.Service)
	}
	if cfg.Port == 0 {
		return cfg, fmt.Errorf("register: Config.Port of %s is 0: give the port that the server listens on", cfg.Service)
	}
	if cfg.ID == "" {
		cfg.ID = deriveID(cfg.Host, cfg.Port)
	}
	if !validLabel(cfg.ID) {
		return cfg, fmt.Errorf("register: Config.ID %q: use 1 to 63 lower-case letters, digits and inner hyphens", cfg.ID)
	}
	if len(cfg.Hooks) == 0 {
		cfg.Hooks = []string{defaultHook}
	}
	hooks := make([]string, len(cfg.Hooks))
	for i, h := range cfg.Hooks {
		u, err := url.Parse(h)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
			return cfg, fmt.Errorf("register: Config.Hooks[%d] %q: write a URL such as %s", i, h, defaultHook)
		}
		hooks[i] = strings.TrimRight(u.String(), "/")
	}
	cfg.Hooks = hooks
	if cfg.Incarnation == 0 {
		cfg.Incarnation = uint64(now.UnixMilli())
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}

// httpClient is the caller's without its Timeout, or one of its own. The second
// result is set for our own, whose idle connections are ours to close.
func (cfg Config) httpClient() (*http.Client, *http.Transport) {
	if cfg.HTTP != nil {
		c := *cfg.HTTP
		c.Timeout = 0
		return &c, nil
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       cfg.TLS.Clone(),
		TLSHandshakeTimeout:   cfg.Timeout,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   1,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	return &http.Client{
		Transport: t,
		// A redirected write would carry the token somewhere nobody named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, t
}

// validService reports whether s is "_name._tcp" or "_name._udp" with a name of
// RFC 6335 section 5.1: 1 to 15 letters, digits and inner hyphens, one letter at
// least. The hook checks the same; here the error comes before any request.
func validService(s string) bool {
	name, proto, ok := strings.Cut(s, ".")
	if !ok || (proto != "_tcp" && proto != "_udp") || !strings.HasPrefix(name, "_") {
		return false
	}
	name = name[1:]
	return len(name) <= 15 && validLabel(name) && !strings.Contains(name, "--") &&
		strings.ContainsAny(name, "abcdefghijklmnopqrstuvwxyz")
}

func validLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// deriveID makes a label that a restart finds again and another machine does not
// make: of the address to be published if there is one, else of the host's name.
func deriveID(host string, port uint16) string {
	name := strings.TrimSuffix(host, ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		name = ip.WithZone("").StringExpanded() // "::" would make two hyphens, or none at the front
	} else if host == "" {
		name, _ = os.Hostname() // empty on failure: the id is the port then
	}
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			c = '-'
		}
		b.WriteByte(c)
	}
	label, suffix := strings.Trim(b.String(), "-"), strconv.Itoa(int(port))
	if label == "" {
		return "p" + suffix
	}
	if limit := maxLabel - len(suffix) - 1; len(label) > limit {
		h := fnv.New32a()
		h.Write([]byte(name))
		label = fmt.Sprintf("%s-%08x", strings.Trim(label[:limit-9], "-"), h.Sum32())
	}
	return label + "-" + suffix
}
