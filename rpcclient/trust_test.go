package rpcclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

func TestServiceDomainIsWhatIsBehindServiceAndProtocol(t *testing.T) {
	for service, want := range map[string]string{
		"_math._tcp.svc":                  "svc",
		"_Payments._tcp.Bank.Example.com": "bank.example.com",
		"_ldap._tcp.dc._msdcs.corp.":      "dc._msdcs.corp",
		"a1._math._tcp.svc.":              "_math._tcp.svc",
		"web.service.consul":              "service.consul",
	} {
		if got := serviceDomain(service); got != want {
			t.Errorf("%s: %q, want %q", service, got, want)
		}
	}
}

// A forged answer must not decide whose certificate is accepted.
func TestTargetsThatACertificateIsVerifiedAgainst(t *testing.T) {
	for _, c := range []struct {
		service, target string
		names           []string
		want            bool
	}{
		{"_payments._tcp.bank.example.com", "evil.example.net.", nil, false},
		{"_payments._tcp.bank.example.com", "p1.bank.example.com.", nil, true},
		{"_payments._tcp.bank.example.com", "P1.Bank.Example.com.", nil, true},
		{"_payments._tcp.bank.example.com", "evilbank.example.com.", nil, false},
		{"_payments._tcp.bank.example.com", "bank.example.com.", nil, false}, // a host of the parent
		{"_payments._tcp.bank.example.com", "p1.bank.example.com.example.net.", nil, false},
		{"_math._tcp.svc", "a1.math.tcp.svc.", nil, true},
		{"math", "a1.math.tcp.svc.", nil, false}, // a name of another Source has no domain
		{"_math._tcp.svc", "a1.math.tcp.svc.", []string{}, false},
		{"_math._tcp.svc", "a1.math.tcp.svc.", []string{".math.tcp.svc"}, true},
		{"_math._tcp.svc", "b1.mail.tcp.svc.", []string{".math.tcp.svc"}, false},
		{"_math._tcp.svc", "node7.dc1.example.com.", []string{".svc", "node7.dc1.example.com"}, true},
		{"_math._tcp.svc", "node8.dc1.example.com.", []string{".svc", "node7.dc1.example.com."}, false},
		{"_math._tcp.svc", "10.0.0.7", nil, true}, // from resolver.Static, that is, the configuration
		{"_math._tcp.svc", "web1", []string{".svc"}, true},
	} {
		client, err := New(c.service, &Config{Conn: ConnConfig{TLS: &tls.Config{}, TLSNames: c.names}, Source: announce()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.serverName(resolver.Endpoint{Addr: "10.0.0.7:80", Target: c.target})
		if err != nil {
			mustContain(t, err, "TLSNames")
			if strings.Contains(err.Error(), "under ,") {
				t.Errorf("no domain is named: %v", err)
			}
		}
		if got := err == nil; got != c.want {
			t.Errorf("%s, names %q: target %s: %v", c.service, c.names, c.target, err)
		}
		client.Close()
	}
	for _, bad := range []string{"", ".", "*.example.com", "a b", "a..b", "host:443", "https://x"} {
		if c, err := New("_math._tcp.svc", &Config{Conn: ConnConfig{TLS: &tls.Config{}, TLSNames: []string{bad}}}); err == nil {
			c.Close()
			t.Errorf("TLSNames %q was taken", bad)
		}
	}
	if c, err := New("_math._tcp.svc", &Config{Conn: ConnConfig{TLSNames: []string{".svc"}}}); err == nil {
		c.Close()
		t.Error("TLSNames were taken without TLS: calls would be in clear")
	}
}

func TestForgedTargetGetsNoCallWhateverItsCertificate(t *testing.T) {
	cert, pool := peertest.Certificate(t, "evil.example.net")
	arith := &Arith{}
	_, addr := startOurs(t, rpcserver.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, arith)
	source := eps{{Addr: addr, Target: "evil.example.net.", Weight: 1}}
	call := func(cfg Config, await func(testing.TB, *Client)) error {
		cfg.Source, cfg.WaitForNode = source, -1
		c, err := New("_payments._tcp.bank.example.com", &cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		await(t, c)
		return c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
	}
	err := call(Config{Conn: ConnConfig{TLS: &tls.Config{RootCAs: pool}}}, dialFailed)
	mustContain(t, err, "evil.example.net", "bank.example.com", "TLSNames")
	if n := arith.executed.Load(); n != 0 {
		t.Fatalf("executed %d times", n)
	}
	if err := call(Config{Conn: ConnConfig{TLS: &tls.Config{RootCAs: pool}, TLSNames: []string{"evil.example.net"}}}, ready); err != nil {
		t.Error("listed:", err)
	}
	if err := call(Config{Conn: ConnConfig{TLS: &tls.Config{RootCAs: pool, ServerName: "evil.example.net"}}}, ready); err != nil {
		t.Error("by ServerName:", err)
	}
	if err := call(Config{Conn: ConnConfig{TLS: &tls.Config{RootCAs: pool, ServerName: "p.bank.example.com"}}}, dialFailed); !is[x509.HostnameError](err) {
		t.Error("another ServerName:", err)
	}
}

// serverOf starts a server that handles each connection with serve.
func serverOf(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serve(nc)
			nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

func TestMismatchOfProtocolsIsNamed(t *testing.T) {
	cert, pool := peertest.Certificate(t, "a1.math.tcp.svc")
	_, secure := startOurs(t, rpcserver.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	_, plain := startOurs(t, rpcserver.Config{})
	stockPlain := startStock(t, "").addr
	hangsUp := serverOf(t, func(nc net.Conn) { io.ReadFull(nc, make([]byte, 1)) })
	fail := func(addr string, cfg Config) error {
		cfg.Source = eps{{Addr: addr, Target: "a1.math.tcp.svc.", Weight: 1}}
		c := newClient(t, cfg)
		dialFailed(t, c)
		n := c.member(addr)
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.lastErr
	}
	mustContain(t, fail(secure, Config{}), "connected, but the first ping failed", "without TLS?")
	withTLS := Config{Conn: ConnConfig{TLS: &tls.Config{RootCAs: pool}}}
	mustContain(t, fail(plain, withTLS), "tls to a1.math.tcp.svc", "does the server speak TLS on this port?")
	mustContain(t, fail(stockPlain, withTLS), "tls to a1.math.tcp.svc", "does the server speak TLS on this port?")
	mustContain(t, fail(hangsUp, withTLS), "tls to a1.math.tcp.svc", "does the server speak TLS on this port?")
	mustContain(t, fail(hangsUp, Config{}), "connected, but the first ping failed", "net/rpc on this port")
	// A server without HTTP waits for the rest of what it takes for a message.
	withHTTP := Config{Conn: ConnConfig{Dial: HTTPPath(""), DialTimeout: time.Second}}
	mustContain(t, fail(stockPlain, withHTTP), "CONNECT /_goRPC_", "does the server use rpc.HandleHTTP")
}

func TestHTTPPathOverTLSSaysNothingInClear(t *testing.T) {
	s := startStock(t, "")
	mux := http.NewServeMux()
	mux.Handle(rpc.DefaultRPCPath, s.rpc)
	cert, pool := peertest.Certificate(t, "a1.math.tcp.svc")
	h := httptest.NewUnstartedServer(mux)
	h.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	h.StartTLS()
	t.Cleanup(h.Close)
	exercise(t, newClient(t, Config{
		Conn:   ConnConfig{Dial: HTTPPath(""), TLS: &tls.Config{RootCAs: pool}},
		Source: eps{{Addr: h.Listener.Addr().String(), Target: "a1.math.tcp.svc.", Weight: 1}},
	}))
}

// A peer that does not read must not hold up the end of a client.
func TestCloseDoesNotWaitForATLSPeerThatDoesNotRead(t *testing.T) {
	cert, pool := peertest.Certificate(t, "a1.math.tcp.svc")
	begun, stuck := make(chan struct{}, 1), make(chan struct{})
	addr := serverOf(t, func(nc net.Conn) {
		s := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		s.Read(make([]byte, 1))
		begun <- struct{}{}
		<-stuck
	})
	c := newClient(t, Config{
		Conn:   ConnConfig{PingInterval: -1, PerNode: 1, TLS: &tls.Config{RootCAs: pool}},
		Source: eps{{Addr: addr, Target: "a1.math.tcp.svc.", Weight: 1}},
	})
	ready(t, c)
	// More than sockets hold that are not read from.
	call := c.Go(t.Context(), "Echo.Echo", &Payload{make([]byte, 16<<20)}, nil, nil)
	<-begun // it is encoded, which takes long under the race detector, and being written
	begin := time.Now()
	c.Close()
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("Close took %v", took)
	}
	if <-call.Done; !errors.Is(call.Error, ErrClosed) {
		t.Error(call.Error)
	}
	close(stuck)
}
