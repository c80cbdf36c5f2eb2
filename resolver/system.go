package resolver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// resolvConf is where the system names its servers (resolv.conf(5)).
const resolvConf = "/etc/resolv.conf"

// system is the name servers of this machine, read again when the file changes:
// a client outlives a change of network.
type system struct {
	path string // "": resolvConf

	mu      sync.Mutex // guards what follows
	modTime time.Time
	size    int64
	servers []string
}

func (s *system) list() ([]string, error) {
	path := s.path
	if path == "" {
		path = resolvConf
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("no name servers: %w; set Resolver.Servers", err)
	}
	if s.servers != nil && info.ModTime().Equal(s.modTime) && info.Size() == s.size {
		return s.servers, nil
	}
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("no name servers: %w; set Resolver.Servers", err)
	}
	if len(conf.Servers) == 0 {
		return nil, errors.New("no name servers: " + path + " names none; set Resolver.Servers")
	}
	s.servers, s.modTime, s.size = withPorts(conf.Servers), info.ModTime(), info.Size()
	return s.servers, nil
}

// withPorts adds port 53 where there is none: "::1" is "[::1]:53".
func withPorts(servers []string) []string {
	out := make([]string, len(servers))
	for i, s := range servers {
		out[i] = s
		if _, _, err := net.SplitHostPort(s); err != nil {
			out[i] = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
	}
	return out
}
