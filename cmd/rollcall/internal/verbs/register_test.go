package verbs

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
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
