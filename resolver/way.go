package resolver

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// way is how to ask: which servers, how long and how often.
type way struct {
	servers  []string      // "host:port", the first to ask first
	timeout  time.Duration // of one try on one server
	attempts int           // rounds over the servers
	stream   bool          // never by UDP
	eager    bool          // UDP has failed before: TCP begins at the same time
	once     bool          // a datagram that is not answered is not sent again
	settle   bool          // an answer that is marked stale is taken, and no other server is asked
	stale    string        // a server that has said in a session that it is stale: its answers are taken for marked; "": none
	system   bool          // the servers are those of the machine: neither Servers nor the environment names any
}

// defaultAttempts is how often a question goes round the servers. Only silent servers are
// asked again: one that refused would refuse again.
const defaultAttempts = 2

// way reads the configuration. Without Servers it is that of the environment or of the
// system, as it is now.
func (r *Resolver) way() (way, error) {
	w := way{timeout: r.timeout(), attempts: defaultAttempts, stream: r.TCP || r.TLS != nil}
	port := "53"
	if r.TLS != nil {
		port = "853" // RFC 7858 section 3.1
	}
	rotate := false
	if len(r.Servers) > 0 {
		if err := r.Check(); err != nil {
			return way{}, err
		}
		w.servers = withPorts(r.Servers, port)
	} else if named, err := environment(); err != nil || len(named) > 0 {
		if err != nil {
			return way{}, err
		}
		w.servers = withPorts(named, port)
	} else {
		conf, err := r.system.read()
		if err != nil {
			return way{}, err
		}
		w.system = true
		w.servers = withPorts(conf.servers, port)
		w.stream = w.stream || conf.useVC
		if r.Timeout <= 0 && conf.timeout > 0 {
			w.timeout = conf.timeout
		}
		if conf.attempts > 0 {
			w.attempts = conf.attempts
		}
		rotate = conf.rotate
	}
	begin := 0
	if rotate {
		begin = int(r.turn.Add(1)-1) % len(w.servers)
	} else if good := r.good.Load(); good != nil {
		begin = max(0, slices.Index(w.servers, *good))
	}
	w.servers = slices.Concat(w.servers[begin:], w.servers[:begin])
	return w, nil
}

// lightAfter is after how many failures in a row a question may cost no more packets than
// one that is answered: see [way.light] and retryLocked. So many failures mean that the
// servers are down, not that a packet was lost.
const lightAfter = 3

// light is the way to see whether a server is back: one round, one datagram and one
// stream.
func (w way) light() way {
	w.attempts, w.once = 1, true
	return w
}

// at is the same way to other servers.
func (w way) at(servers []string) way {
	w.servers = servers
	return w
}

// without is the way to all servers but one.
func (w way) without(server string) way {
	return w.at(slices.DeleteFunc(slices.Clone(w.servers), func(s string) bool { return s == server }))
}

// first is the way with one server in front.
func (w way) first(server string) way {
	return w.at(append([]string{server}, w.without(server).servers...))
}

// prefer remembers the server that answered.
func (r *Resolver) prefer(server string) {
	if good := r.good.Load(); good == nil || *good != server {
		r.good.Store(&server)
	}
}

// environment returns the servers that ROLLCALL_DNS names, separated by commas or blanks.
// A Resolver without Servers asks these. Without the variable there are none. The error
// names a server that is not host or host:port.
func environment() ([]string, error) {
	servers := strings.FieldsFunc(os.Getenv(envServers), func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' })
	for _, s := range servers {
		if err := checkServer(s); err != nil {
			return nil, fmt.Errorf("%s: server %q: want host or host:port: %w", envServers, s, err)
		}
	}
	return servers, nil
}

// withPorts adds a port where there is none: "::1" is "[::1]:53".
func withPorts(servers []string, port string) []string {
	out := make([]string, len(servers))
	for i, s := range servers {
		out[i] = s
		if _, _, err := net.SplitHostPort(s); err != nil {
			out[i] = net.JoinHostPort(strings.Trim(s, "[]"), port)
		}
	}
	return out
}
