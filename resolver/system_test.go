package resolver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSystemServersAreReadAgainWhenTheFileChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	s := system{path: path}
	if _, err := s.list(); err == nil || !strings.Contains(err.Error(), "no name servers") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# nameserver 192.0.2.9\nsearch example.com\n")
	if _, err := s.list(); err == nil || err.Error() != "no name servers: "+path+" names none; set Resolver.Servers" {
		t.Errorf("none in it: %v", err)
	}
	write("nameserver 192.0.2.1\nnameserver 2001:db8::53\n")
	if got, err := s.list(); err != nil || strings.Join(got, " ") != "192.0.2.1:53 [2001:db8::53]:53" {
		t.Errorf("%v, %v", got, err)
	}
	write("nameserver 192.0.2.77\n")
	if got, err := s.list(); err != nil || strings.Join(got, " ") != "192.0.2.77:53" {
		t.Errorf("changed: %v, %v", got, err)
	}
	r := Resolver{system: system{path: path + "x"}}
	if _, err := r.Lookup(t.Context(), mathTCP); err == nil || !strings.HasPrefix(err.Error(), "resolver: lookup _math._tcp.svc. SRV: no name servers: ") {
		t.Errorf("Lookup: %v", err)
	}
}
