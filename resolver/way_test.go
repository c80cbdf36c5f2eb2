package resolver

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestServersMayBeWrittenWithoutAPort(t *testing.T) {
	t.Parallel()
	got := withPorts([]string{"127.0.0.1:5300", "192.0.2.1", "ns.example.com", "::1", "[::1]", "[::1]:5300", "fe80::1%eth0"}, "53")
	want := "127.0.0.1:5300 192.0.2.1:53 ns.example.com:53 [::1]:53 [::1]:53 [::1]:5300 [fe80::1%eth0]:53"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// TestTheEnvironmentNamesTheServers when nothing else does.
func TestTheEnvironmentNamesTheServers(t *testing.T) {
	is := func(r *Resolver, env, want string) {
		t.Helper()
		t.Setenv("ROLLCALL_DNS", env)
		w, err := r.way()
		got := strings.Join(w.servers, " ")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("ROLLCALL_DNS=%q: %s\nwant %s", env, got, want)
		}
	}
	sys := system{path: filepath.Join(t.TempDir(), "none")}
	is(&Resolver{}, "127.0.0.1:5300", "127.0.0.1:5300")
	is(&Resolver{}, "127.0.0.1:5300, ns.example.com ,::1\t10.0.0.1", "127.0.0.1:5300 ns.example.com:53 [::1]:53 10.0.0.1:53")
	is(&Resolver{Servers: []string{"10.0.0.9"}}, "127.0.0.1:5300", "10.0.0.9:53")
	is(&Resolver{system: system{path: sys.path}}, "", "127.0.0.1:53 [::1]:53")
	is(&Resolver{system: system{path: sys.path}}, " , ", "127.0.0.1:53 [::1]:53")
	is(&Resolver{}, "http://127.0.0.1:5300", `ROLLCALL_DNS: server "http://127.0.0.1:5300": want host or host:port: host "http://127.0.0.1:5300": want a name or an IP address`)
	is(&Resolver{}, "127.0.0.1:dns", `ROLLCALL_DNS: server "127.0.0.1:dns": want host or host:port: port "dns": want a number from 1 to 65535`)
	t.Setenv("ROLLCALL_DNS", "10.0.0.256")
	if _, err := new(Resolver).Lookup(t.Context(), mathTCP); err == nil || !strings.HasPrefix(err.Error(), `resolver: lookup _math._tcp.svc. SRV: ROLLCALL_DNS: server "10.0.0.256": `) {
		t.Errorf("Lookup: %v", err)
	}
}
