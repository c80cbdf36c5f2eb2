package register

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

const (
	// DefaultHook is where dnsd has its hook unless its Corefile says otherwise, and so
	// where Keep looks for it: 127.0.0.1:8053.
	DefaultHook = "127.0.0.1:" + defaultPort
	defaultPort = "8053"
	hookVar     = "ROLLCALL_HOOK"
)

// findHooks returns the base URLs of the hooks: those given, else those of the
// environment, else that of a dnsd on this machine.
func findHooks(given []string, env string) ([]string, error) {
	list, place := given, func(i int) string { return fmt.Sprintf("Config.Hooks[%d]", i) }
	if len(list) == 0 {
		list = strings.FieldsFunc(env, func(r rune) bool { return r == ',' || r <= ' ' })
		place = func(i int) string { return fmt.Sprintf("%s: address %d,", hookVar, i+1) }
	}
	if len(list) == 0 {
		return []string{"http://" + DefaultHook}, nil
	}
	hooks := make([]string, len(list))
	for i, h := range list {
		base, ok := baseURL(h)
		if !ok && strings.Contains(h, "@") {
			// Without the address: it may have a password, and the error may be logged.
			return nil, fmt.Errorf("register: %s has a user name: leave it out, and give the token in Config.Token", place(i))
		}
		if !ok {
			return nil, fmt.Errorf("register: %s %q: write a URL such as http://%s, or host:port", place(i), h, DefaultHook)
		}
		hooks[i] = base
	}
	return hooks, nil
}

// baseURL reads a URL, host:port or a host.
func baseURL(s string) (string, bool) {
	if !strings.Contains(s, "://") {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), defaultPort)
		}
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", false
	}
	return strings.TrimRight(u.String(), "/"), true
}

// proxy is http.ProxyFromEnvironment where a proxy does no harm. Without a host in
// the registration the hook publishes the address that it sees, so it must see ours.
// A hook in a private network may not be reachable from the proxy.
func (cfg Config) proxy(r *http.Request) (*url.URL, error) {
	if cfg.Host == "" || isPrivate(r.URL.Hostname()) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

var carrierNAT = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func isPrivate(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return isLocalhost(host) || !strings.Contains(strings.TrimSuffix(host, "."), ".")
	}
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || carrierNAT.Contains(ip)
}
