package rpcclient

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/rollcall-dns/rollcall/resolver"
)

// shared has the Resolvers of the clients without a Source. They belong to the process, and
// not to a client, because a DNS server that tells about changes is to have one session with
// a process, whatever the number of its clients. A Resolver is here while a client that uses
// it is open.
var shared struct {
	mu sync.Mutex // guards what follows, and what is in each sharedResolver
	// resolvers has one for each value of ROLLCALL_DNS that was there when a client was made:
	// a client must not get what was learnt from other servers.
	resolvers map[string]*sharedResolver
}

// sharedResolver is a Resolver and the clients that use it.
type sharedResolver struct {
	*resolver.Resolver
	clients int
	hearers map[*slog.Logger]*hearer
}

// hearer is a Logger of clients.
type hearer struct {
	events   events
	services map[string]int // how many clients have it, by serviceKey
	clients  int            // in all
}

// share gives the client the Resolver that it shares with others. The client returns it by
// unshare.
func (c *Client) share() *sharedResolver {
	key := os.Getenv("ROLLCALL_DNS")
	shared.mu.Lock()
	defer shared.mu.Unlock()
	s := shared.resolvers[key]
	if s == nil {
		s = &sharedResolver{hearers: map[*slog.Logger]*hearer{}}
		// These servers, whatever the variable says later. An empty one cannot be kept: it is read
		// for each question, as by any Resolver.
		servers := strings.FieldsFunc(key, func(c rune) bool { return strings.ContainsRune(", \t\n", c) })
		s.Resolver = &resolver.Resolver{Servers: servers, Logger: slog.New(sharedLog{s})}
		if shared.resolvers == nil {
			shared.resolvers = map[string]*sharedResolver{}
		}
		shared.resolvers[key] = s
	}
	if s.clients++; c.loud {
		h := s.hearers[c.cfg.Logger]
		if h == nil {
			h = &hearer{events: events{log: c.cfg.Logger}, services: map[string]int{}}
			s.hearers[c.cfg.Logger] = h
		}
		h.clients++
		h.services[serviceKey(c.service)]++
	}
	c.unshare = sync.OnceFunc(func() { s.leave(c, key) })
	return s
}

// leave takes a client away, and with the last one the Resolver, in which nothing runs then:
// its Watches have ended.
func (s *sharedResolver) leave(c *Client, key string) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if s.clients--; s.clients == 0 {
		delete(shared.resolvers, key)
	}
	if !c.loud {
		return
	}
	h, name := s.hearers[c.cfg.Logger], serviceKey(c.service)
	if h.services[name]--; h.services[name] == 0 {
		delete(h.services, name)
	}
	if h.clients--; h.clients == 0 {
		delete(s.hearers, c.cfg.Logger)
	}
}

// serviceKey is the name of a service as a key. A Resolver logs it in lower case and with the
// final dot.
func serviceKey(service string) string { return strings.ToLower(strings.TrimSuffix(service, ".")) }

// concerned returns the Loggers that get a line: those of the clients of the service that it
// names, and all of them if it names none of theirs.
func (s *sharedResolver) concerned(name string) []*hearer {
	name = serviceKey(name)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	var own, all []*hearer
	for _, h := range s.hearers {
		if all = append(all, h); h.services[name] > 0 {
			own = append(own, h)
		}
	}
	if len(own) > 0 {
		return own
	}
	return all
}

// hear hands on a line, as a hook.
func (h *hearer) hear(line slog.Record) {
	h.events.tell(func() {
		h.events.guard("Logger", func() {
			to, ctx := h.events.log.Handler(), context.Background()
			if to.Enabled(ctx, line.Level) {
				to.Handle(ctx, line)
			}
		})
	})
}

// sharedLog hands the lines of a shared Resolver to the Loggers of its clients, to each in a
// goroutine of its own: one that is slow or panics must not stop the Resolver of others.
type sharedLog struct{ of *sharedResolver }

// Enabled implements slog.Handler. The Loggers say what they want when they get the line.
func (l sharedLog) Enabled(context.Context, slog.Level) bool {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	return len(l.of.hearers) > 0
}

// Handle implements slog.Handler.
func (l sharedLog) Handle(_ context.Context, line slog.Record) error {
	name := ""
	line.Attrs(func(a slog.Attr) bool {
		if a.Key == "name" {
			name = a.Value.String()
		}
		return name == ""
	})
	for _, h := range l.of.concerned(name) {
		h.hear(line.Clone())
	}
	return nil
}

// WithAttrs implements slog.Handler. A Resolver does not call it.
func (l sharedLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler. A Resolver does not call it.
func (l sharedLog) WithGroup(string) slog.Handler { return l }
