package verbs

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
)

func TestWhatIsRegistered(t *testing.T) {
	k := &keeping{wait: time.Second, ttl: 5 * time.Second, host: "10.0.0.7", meta: map[string]string{"a": "b"}}
	k.port.max, k.priority.max, k.weight.max = 65535, 65535, 65535
	for flag, n := range map[string]*number{"8080": &k.port, "0": &k.weight} {
		if err := n.Set(flag); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := k.config("_math._tcp")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Port != 8080 || cfg.Priority != nil || cfg.Weight == nil || *cfg.Weight != 0 || cfg.TTL.Std() != 5*time.Second || cfg.Meta["a"] != "b" {
		t.Errorf("got %+v", cfg.Registration)
	}
	if tr, ok := cfg.HTTP.Transport.(*http.Transport); !ok || tr.Proxy != nil {
		t.Error("a proxy would see the token")
	}
	for name, change := range map[string]func(k *keeping){
		"no port":      func(k *keeping) { k.port = number{} },
		"port 0":       func(k *keeping) { k.port = number{given: true} },
		"no wait":      func(k *keeping) { k.wait = 0 },
		"negative ttl": func(k *keeping) { k.ttl = -1 },
		"a bad id":     func(k *keeping) { k.id = "A" },
		"a bad hook":   func(k *keeping) { k.Hooks = "ftp://x" },
	} {
		other := *k
		change(&other)
		if _, err := other.config("_math._tcp"); cli.Status(err) != cli.Usage {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestAWaitForThePortIsTold: a person who has given the wrong port need not wait to hear of it.
func TestAWaitForThePortIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for wait, want := range map[time.Duration]string{
			time.Second:     "",
			3 * time.Second: "rollcall register: port 1 accepts no connections yet; waiting for it, 3s in all\n",
		} {
			// Nothing can listen at a broadcast address, so no program of this machine answers.
			var errs strings.Builder
			s := &supervisor{keeping: &keeping{port: number{value: 1, given: true}, host: "255.255.255.255", wait: wait}, check: true, errs: &errs}
			if k := s.enrol(t.Context()); !errors.Is(k.err, errSilent) || errs.String() != want {
				t.Errorf("%v: %v, %q, want %q", wait, k.err, errs.String(), want)
			}
		}
	})
}

// TestThePortIsLookedForOnThisMachine: a program may listen on one address only.
func TestThePortIsLookedForOnThisMachine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	k := &keeping{port: number{value: uint64(port), given: true}}
	if addrs := k.addresses(); !slices.Contains(addrs, "[::1]:"+strconv.Itoa(port)) || !answers(t.Context(), addrs) {
		t.Errorf("%q: no answer", addrs)
	}
	k.host = "10.0.0.7"
	if addrs := k.addresses(); !slices.Equal(addrs, []string{"10.0.0.7:" + strconv.Itoa(port)}) {
		t.Errorf("got %q", addrs)
	}
}
