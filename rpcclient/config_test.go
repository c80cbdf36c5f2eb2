package rpcclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []Config{
		{Retry: RetryConfig{Budget: balancer.Budget{Share: 2}}},
		{Retry: RetryConfig{Budget: balancer.Budget{Share: math.NaN()}}},
		{Retry: RetryConfig{Budget: balancer.Budget{Floor: math.Inf(1)}}},
		{Methods: map[string]Method{"A.B": {Idempotent: true, Hedge: math.NaN()}}},
		{Methods: map[string]Method{"Get": {Idempotent: true}}},
		{Methods: map[string]Method{"Store.": {Idempotent: true}}},
		{Conn: ConnConfig{PerNode: -1}},
		{Conn: ConnConfig{MaxNodes: -1}},
		{Conn: ConnConfig{MaxReply: -1}},
		{Retry: RetryConfig{AttemptTimeout: -1}},
		{Conn: ConnConfig{DialTimeout: -1}},
		{Conn: ConnConfig{PingTimeout: -1}},
		{Conn: ConnConfig{WriteTimeout: -1}},
		{Conn: ConnConfig{DrainTimeout: -1}},
		{Source: (*resolver.Resolver)(nil)},
		{Methods: map[string]Method{"A.B": {Hedge: 0.1}}},
		{Methods: map[string]Method{"A.B": {Idempotent: true, Hedge: 0.9}}},
	} {
		if c, err := New("_math._tcp.svc", &cfg); err == nil {
			c.Close()
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// People write these names at first. Each error says what to write instead.
func TestNamesThatCannotBeServicesFailAtOnce(t *testing.T) {
	for name, cure := range map[string]string{
		"":                      "_math._tcp.svc",
		"math":                  "_math._tcp.svc",
		"_math._tcp":            "_math._tcp.svc",
		"127.0.0.1:9001":        "resolver.Static",
		"_math._tcp.svc:5300":   "Servers",
		"http://_math._tcp.svc": "_math._tcp.svc",
		"math.tcp.svc":          "_math._tcp.svc",
		"_math._tcp..svc":       "_math._tcp.svc",
	} {
		c, err := New(name, nil)
		if err == nil {
			c.Close()
			t.Errorf("%q was taken", name)
			continue
		}
		mustContain(t, err, "rpcclient: new: ", strconv.Quote(name), cure)
	}
	t.Setenv("ROLLCALL_DNS", "127.0.0.1:99999")
	if c, err := New("_math._tcp.svc", nil); err == nil {
		c.Close()
		t.Error("a server of the environment with a bad port was taken")
	} else {
		mustContain(t, err, "ROLLCALL_DNS", "127.0.0.1:99999")
	}
	// To another Source a name may be anything.
	c, err := New("math", &Config{Source: announce()})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestServersAreHostsOrHostPorts(t *testing.T) {
	for _, server := range []string{"ns1", "ns1.example.net.:5300", "10.0.0.1", "127.0.0.1:5300", "::1", "[::1]:53", "fe80::1%eth0"} {
		c, err := New("_math._tcp.svc", &Config{Source: &resolver.Resolver{Servers: []string{server}}})
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
	for _, server := range []string{"", ":53", "ns1:", "ns1:0", "ns1:99999", "ns1:dns", "5300", "10.0.0", "http://ns1", "bo gus", "a..b", "ns1/53"} {
		c, err := New("_math._tcp.svc", &Config{Source: &resolver.Resolver{Servers: []string{"ns1", server}}})
		if err == nil {
			c.Close()
			t.Errorf("%q was taken", server)
		} else if want := fmt.Sprintf("rpcclient: config: source: server 1 of Servers, %q: want host or host:port: ", server); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error is %q\nwant     %q...", err, want)
		}
	}
}

type Nap struct{}

func (*Nap) Hour(int, *int) error { time.Sleep(time.Hour); return nil }

// The greatest duration in one field means for ever there, and takes no other limit away.
func TestGreatestDurations(t *testing.T) {
	for name, cfg := range map[string]Config{
		"AttemptTimeout": {Retry: RetryConfig{AttemptTimeout: math.MaxInt64}},
		"WaitForNode":    {WaitForNode: math.MaxInt64, Linger: math.MaxInt64},
		"Conn": {Conn: ConnConfig{
			DialTimeout: math.MaxInt64, PingInterval: math.MaxInt64, PingTimeout: math.MaxInt64, WriteTimeout: math.MaxInt64, DrainTimeout: math.MaxInt64,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(2 * time.Hour) // the node ends the call that it executes
				f := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Nap{})})
				cfg.Timeout = time.Second
				c := fakeClient(t, f, cfg, "a:1")
				defer c.Close()
				time.Sleep(time.Minute) // on the client's clock
				begin := time.Now()
				err := c.Call(t.Context(), "Nap.Hour", 0, new(int))
				if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// What happens to a Config after New changes no client.
func TestNewCopiesItsConfig(t *testing.T) {
	pass := func(ctx context.Context, in *Invocation, next func(context.Context, *Invocation) error) error {
		return next(ctx, in)
	}
	cfg := Config{Source: announce(), Methods: map[string]Method{"A.B": {}}, Interceptors: []Interceptor{pass}, Conn: ConnConfig{TLS: &tls.Config{}, TLSNames: []string{".svc"}}}
	c := newClient(t, cfg)
	cfg.Methods["A.B"] = Method{Idempotent: true}
	cfg.Interceptors[0], cfg.Conn.TLSNames[0] = nil, ".evil"
	if cl := c.newCall("A.B", nil, nil, nil); cl.Idempotent || c.cfg.Interceptors[0] == nil || c.trusted.listed[0] != ".svc" {
		t.Errorf("a client has changed with its Config: %+v", c.cfg)
	}
}
