package dnsd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// A serverURL is where a server of etcd is: https://10.0.0.1:2379.
type serverURL struct {
	secure bool   // https
	host   string // an IP address or a name
	port   string
}

// The URLs of servers that errors show as an example: with the port that clients of etcd
// use by default, and with the one that its servers use among themselves.
const (
	exampleEtcd = "https://10.0.0.1:2379"
	examplePeer = "https://10.0.0.1:2380"
)

// parseServerURL reads a URL such as example. An error does not repeat one with a password
// in it.
func parseServerURL(text, example string) (serverURL, error) {
	switch {
	case !strings.Contains(text, "@"):
	case example == examplePeer:
		return serverURL{}, errors.New("a URL has a user or a password in it; write it without: peers know each other by their certificates")
	default:
		return serverURL{}, errors.New("a URL has a user or a password in it; write it without, and use the line: user NAME file PATH")
	}
	bad := fmt.Errorf("bad URL %q; expected one such as %s", text, example)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "" || u.ForceQuery {
		return serverURL{}, bad
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return serverURL{}, bad
	}
	host := strings.ToLower(u.Hostname())
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsUnspecified() || a.Zone() != "" {
			return serverURL{}, fmt.Errorf("bad URL %q; expected the address of one host, as in %s", text, example)
		}
		host = a.Unmap().String()
	} else if _, ok := dns.IsDomainName(host); !ok || host == "" || strings.ContainsFunc(host, notInZone) {
		return serverURL{}, bad
	}
	return serverURL{u.Scheme == "https", host, strconv.FormatUint(port, 10)}, nil
}

// String spells one URL in one way.
func (u serverURL) String() string {
	scheme := "http"
	if u.secure {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(u.host, u.port)
}

// addr is the IP address of the host; not valid: the URL has a name.
func (u serverURL) addr() netip.Addr {
	if u.host == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	a, _ := netip.ParseAddr(u.host)
	return a
}

// normalURLs returns URLs such as example in their canonical form. of gives the fault of the
// i-th one.
func normalURLs(urls []string, example string, insecure bool, of func(i int, err error) error) ([]serverURL, error) {
	var all []serverURL
	for i, text := range urls {
		u, err := parseServerURL(text, example)
		if err != nil {
			return nil, of(i, err)
		}
		for _, before := range all {
			switch {
			case before == u:
				return nil, of(i, fmt.Errorf("%s is listed twice", u))
			case before.secure != u.secure:
				return nil, of(i, fmt.Errorf("%s and %s: one is encrypted and the other is not; use https for all", before, u))
			}
		}
		if !u.secure && !insecure && !u.addr().IsLoopback() {
			return nil, of(i, fmt.Errorf("%s is not encrypted, and is not on loopback; use https, or add the line: insecure", u))
		}
		all = append(all, u)
	}
	return all, nil
}

// Tests: serverurl_test.go, shared_test.go.
