package resolver

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// way is how to ask: whom, how long and how often.
type way struct {
	servers  []string      // "host:port", the first to ask first
	timeout  time.Duration // of one try on one server
	attempts int           // rounds over the servers
	stream   bool          // never by UDP
	eager    bool          // UDP was in vain before: TCP at the same time
	once     bool          // a datagram that is not answered is not sent again
	system   bool          // nobody named the servers: they are those of the machine
}

// defaultAttempts is how often a question goes round the servers. Only those that
// were silent are asked again: one that refused would do so again.
const defaultAttempts = 2

// way reads the configuration, which without Servers is that of the environment or
// of the system, as it is now.
func (r *Resolver) way() (way, error) {
	w := way{timeout: cmp.Or(max(r.Timeout, 0), defaultTimeout), attempts: defaultAttempts, stream: r.TCP || r.TLS != nil}
	port := "53"
	if r.TLS != nil {
		port = "853" // RFC 7858 section 3.1
	}
	rotate := false
	if len(r.Servers) > 0 {
		w.servers = withPorts(r.Servers, port)
	} else if named, err := Environment(); err != nil || len(named) > 0 {
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

// lightAfter is how many failures in a row, a sign of servers that are down and not
// of a lost packet, have the next questions cost no more than those of a client that
// is answered: see [way.light] and retryLocked.
const lightAfter = 3

// light is the way to see whether somebody is back: one round, one datagram and one
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

// prefer remembers who answered.
func (r *Resolver) prefer(server string) {
	if good := r.good.Load(); good == nil || *good != server {
		r.good.Store(&server)
	}
}

// Environment gives the servers that ROLLCALL_DNS names, separated by commas or blanks:
// those that a Resolver without Servers asks. Without the variable there are none. The
// error names the one that is not host or host:port.
func Environment() ([]string, error) {
	servers := strings.FieldsFunc(os.Getenv(envServers), func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' })
	for _, s := range servers {
		if err := CheckServer(s); err != nil {
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
