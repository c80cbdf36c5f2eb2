package history

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// Config of a Recorder. Only Hooks is required.
type Config struct {
	// Hooks are the URLs of the hooks of all dnsd.
	Hooks []string
	// DNS are their DNS addresses, host:port, in the same order. They must allow zone
	// transfers to this host. Empty: DNS is not looked at.
	DNS []string
	// Zone is the name of the zone. Default "svc.".
	Zone string
	// Service is that of the clients' instances; nothing else may write to it. Default
	// "_history._tcp".
	Service string
	// Clients is how many there are, default 6. IDs is how many instances they write to,
	// default 12: with fewer there is more strife about each.
	Clients, IDs int
	// Pause is that of a client between two requests. Default 5ms; ten times as long
	// after one that was not answered.
	Pause time.Duration
	// Timeout bounds one request. Default 7s, more than the time after which dnsd itself
	// gives up.
	Timeout time.Duration
	// Sample is the time between two transfers of the zone. Default 150ms.
	Sample time.Duration
	// Seed of what the clients do. 0: always the same, too.
	Seed uint64
	// Dial connects to hooks and DNS servers. Nil: a net.Dialer does.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c Config) normal() (Config, error) {
	if len(c.Hooks) == 0 || len(c.DNS) > 0 && len(c.DNS) != len(c.Hooks) {
		return c, errors.New("history: give the hook of each dnsd, and the DNS address of each or of none")
	}
	hooks := c.Hooks
	c.Hooks = nil
	for _, h := range hooks {
		c.Hooks = append(c.Hooks, strings.TrimSuffix(h, "/"))
	}
	if c.Zone == "" {
		c.Zone = "svc."
	}
	if c.Service == "" {
		c.Service = "_history._tcp"
	}
	if c.Clients == 0 {
		c.Clients = 6
	}
	if c.IDs == 0 {
		c.IDs = 12
	}
	if c.Pause == 0 {
		c.Pause = 5 * time.Millisecond
	}
	if c.Timeout == 0 {
		c.Timeout = 7 * time.Second
	}
	if c.Sample == 0 {
		c.Sample = 150 * time.Millisecond
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	return c, nil
}

// Tests: recorder_test.go.
