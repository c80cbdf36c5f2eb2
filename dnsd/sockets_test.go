package dnsd

import (
	"net"
	"testing"
)

// TestSocketsThatOverlapAreThoseTheSystemRefuses: a configuration with any two addresses
// is either refused before a socket is opened, or starts.
func TestSocketsThatOverlapAreThoseTheSystemRefuses(t *testing.T) {
	hosts := []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "::ffff:127.0.0.1", ""}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		l.Close()
		hosts = append(hosts, "::", "::1", "0:0:0:0:0:0:0:1")
	}
	refused := 0
	for _, a := range hosts {
		for _, b := range hosts {
			port := freePort()
			at := func(host string) string { return net.JoinHostPort(host, port) }
			free := Hook{Addr: "127.0.0.1:0"}
			for _, cfg := range []Config{
				{Zones: []Zone{{Bind: []string{at(a)}, Hook: Hook{Addr: at(b), Insecure: true}}}},
				{Zones: []Zone{{Bind: []string{at(a), at(b)}, Hook: free}}},
				{Zones: []Zone{
					{Bind: []string{"127.0.0.1:0"}, Hook: Hook{Addr: at(a), Insecure: true}},
					{Origins: []string{"srv."}, Bind: []string{"127.0.0.1:0"}, Hook: Hook{Addr: at(b), Insecure: true}},
				}},
			} {
				if _, err := cfg.checked(); err != nil {
					refused++
					if !canListenBoth(at(a), at(b)) {
						continue
					}
					t.Errorf("%q and %q can be had at once: %v", a, b, err)
					continue
				}
				s, err := New(cfg)
				if err != nil {
					t.Errorf("%q and %q: checked, and refused at the start: %v", a, b, err)
					continue
				}
				s.Close()
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// canListenBoth says whether the system gives both addresses.
func canListenBoth(a, b string) bool {
	la, err := net.Listen("tcp", a)
	if err != nil {
		return false
	}
	defer la.Close()
	lb, err := net.Listen("tcp", b)
	if err != nil {
		return false
	}
	lb.Close()
	return true
}
