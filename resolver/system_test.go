package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestResolvConfIsReadAsResolvConf5Says: junk is ignored, the first word of a line counts,
// there are at most three servers, and none means the local host.
func TestResolvConfIsReadAsResolvConf5Says(t *testing.T) {
	const local = "127.0.0.1 ::1"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", local + " 0s 0 false false"},
		{"no nameserver line", "search example.com\n# nameserver 192.0.2.9\n; nameserver 192.0.2.8\n", local + " 0s 0 false false"},
		{"plain", "nameserver 192.0.2.1\nnameserver 2001:db8::53\n", "192.0.2.1 2001:db8::53 0s 0 false false"},
		{"inline comment", "nameserver 192.0.2.1 # the one in the cellar\n", "192.0.2.1 0s 0 false false"},
		{"scoped", "nameserver fe80::1%eth0\n", "fe80::1%eth0 0s 0 false false"},
		{"CRLF, tabs, no newline at the end", "nameserver\t192.0.2.1\r\nnameserver 192.0.2.2\r\noptions  rotate", "192.0.2.1 192.0.2.2 0s 0 true false"},
		{"junk", "nameserver\nnameserver ns.example.com\nnameserver 1.2.3\nnameserver 192.0.2.1\n\x00\xff\nfoo bar\n", "192.0.2.1 0s 0 false false"},
		{"more than three", strings.Repeat("nameserver 192.0.2.1\n", 5), "192.0.2.1 192.0.2.1 192.0.2.1 0s 0 false false"},
		{"options", "nameserver 192.0.2.1\noptions timeout:7 attempts:3 rotate\noptions use-vc ndots:5\n", "192.0.2.1 7s 3 true true"},
		{"options out of bounds", "nameserver 192.0.2.1\noptions timeout:300 attempts:99\n", "192.0.2.1 30s 5 false false"},
		{"options that are none", "nameserver 192.0.2.1\noptions timeout: attempts:x timeout:-1 attempts:0 rotate:1 edns0\n", "192.0.2.1 0s 0 false false"},
	} {
		c := parseSystemConf(tt.text)
		if got := fmt.Sprint(strings.Join(c.servers, " "), " ", c.timeout, " ", c.attempts, " ", c.rotate, " ", c.useVC); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	t.Setenv("RES_OPTIONS", "attempts:1 use-vc")
	if c := parseSystemConf("options attempts:4\n"); c.attempts != 1 || !c.useVC {
		t.Errorf("RES_OPTIONS is not heard: %+v", c)
	}
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.1\noptions timeout:1 attempts:2 rotate use-vc\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseSystemConf(text)
		if len(c.servers) == 0 || len(c.servers) > maxSystemServers || c.timeout < 0 || c.timeout > maxSystemTimeout || c.attempts < 0 || c.attempts > maxSystemAttempts {
			t.Errorf("%q: %+v", text, c)
		}
		for _, s := range c.servers {
			if err := checkServer(s); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func TestSystemServersAreReadAgainWhenTheFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	r := Resolver{system: system{path: path}}
	is := func(want string) {
		t.Helper()
		if w, err := r.way(); err != nil || strings.Join(w.servers, " ") != want || !w.system {
			t.Errorf("%v, %v, want %s", w.servers, err, want)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is("127.0.0.1:53 [::1]:53") // no file
	write("nameserver 192.0.2.1\nnameserver 2001:db8::53\n")
	is("192.0.2.1:53 [2001:db8::53]:53")
	write("nameserver 192.0.2.77\n")
	is("192.0.2.77:53")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	is("127.0.0.1:53 [::1]:53")
	if err := os.Mkdir(path, 0o700); err != nil { // there, and not readable
		t.Fatal(err)
	}
	if _, err := r.Lookup(t.Context(), mathTCP); err == nil || !strings.HasPrefix(err.Error(), "resolver: lookup _math._tcp.svc. SRV: no name servers: ") {
		t.Errorf("Lookup: %v", err)
	}
}

// TestOptionsOfResolvConfAreObeyed: timeout, attempts, rotate, use-vc, unless the
// Resolver says otherwise.
func TestOptionsOfResolvConfAreObeyed(t *testing.T) {
	conf := func(text string) system {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return system{path: path}
	}
	three := "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
	for _, tt := range []struct {
		name, text string
		timeout    time.Duration
		took       time.Duration
		queries    string
	}{
		{"none", three, 0, 3 * 2 * 2 * time.Second, "SRV 12+6"},
		{"timeout and attempts", three + "options timeout:4 attempts:1", 0, 3 * 4 * time.Second, "SRV 6+3"},
		{"Resolver.Timeout wins", three + "options timeout:4 attempts:1", time.Second, 3 * time.Second, "SRV 6+3"},
		{"use-vc", three + "options use-vc attempts:1", 0, 3 * 2 * time.Second, "SRV 0+3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sys := conf(tt.text)
			synctest.Test(t, func(t *testing.T) {
				s := newServer(silence)
				n := fakeNet{"192.0.2.1:53": s, "192.0.2.2:53": s, "192.0.2.3:53": s}
				r := &Resolver{system: system{path: sys.path}, Dial: n.dial, Timeout: tt.timeout}
				begin := time.Now()
				if _, err := r.Lookup(t.Context(), mathTCP); err == nil {
					t.Error("no error")
				}
				if got := count(s, "SRV"); got != tt.queries || time.Since(begin) != tt.took {
					t.Errorf("%s in %v, want %s in %v", got, time.Since(begin), tt.queries, tt.took)
				}
			})
		})
	}
	sys := conf(three + "options rotate\n")
	synctest.Test(t, func(t *testing.T) {
		n := fakeNet{}
		for i := range 3 {
			n[fmt.Sprintf("192.0.2.%d:53", i+1)] = newServer(two(t))
		}
		r := &Resolver{system: system{path: sys.path}, Dial: n.dial}
		for range 6 {
			if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
		}
		for addr, s := range n {
			if q := len(s.asked("SRV")); q != 2 {
				t.Errorf("%s was asked %d times of 6, want 2: rotate", addr, q)
			}
		}
	})
}

// TestErrorsNameTheCure of the likeliest mistakes.
func TestErrorsNameTheCure(t *testing.T) {
	t.Setenv("ROLLCALL_DNS", "")
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver 192.0.2.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := fakeNet{"192.0.2.1:53": newServer(zone(t, soa))}
		for _, tt := range []struct {
			r          *Resolver
			name, want string
		}{
			{n.client("192.0.2.1"), "_maths._tcp.svc", "resolver: lookup _maths._tcp.svc. SRV @192.0.2.1:53: no such name: no instance is registered under it (NXDOMAIN)"},
			{n.client("192.0.2.1"), "_math._tcp", `no such name: no instance is registered under it; the zone is missing: write "_math._tcp.svc" (NXDOMAIN)`},
			{n.client("192.0.2.1"), "math.tcp.svc", `write "_math._tcp.svc" (NXDOMAIN)`},
			{&Resolver{Dial: n.dial, system: system{path: path}}, mathTCP, "no instance is registered under it, or the servers of this machine do not know dnsd: name it by Servers or ROLLCALL_DNS (NXDOMAIN)"},
			{n.client("127.0.0.1:5300"), mathTCP, "@127.0.0.1:5300: connection refused over UDP and TCP: is dnsd running there?"},
		} {
			if _, err := tt.r.Lookup(t.Context(), tt.name); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v\nwant %s", tt.name, err, tt.want)
			}
		}
	})
	hook, err := net.Listen("tcp", "127.0.0.1:0") // listens on TCP only, and does not know DNS
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			nc, err := hook.Accept()
			if err != nil {
				return
			}
			nc.Close()
		}
	}()
	_, err = (&Resolver{Servers: []string{hook.Addr().String()}}).Lookup(t.Context(), mathTCP)
	if err == nil || !strings.Contains(err.Error(), "is this the port of DNS?") {
		t.Errorf("the port of another server: %v", err)
	}
	hook.Close()
	<-ended
	refused := &Resolver{Servers: []string{"ns1"}, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrPermission }}
	if _, err := refused.Lookup(t.Context(), mathTCP); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}
