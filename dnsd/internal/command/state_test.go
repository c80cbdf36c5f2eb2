package command

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// TestNowhereToKeepTheHighestRevision: the log says so, unless every store has a file.
func TestNowhereToKeepTheHighestRevision(t *testing.T) {
	for _, name := range []string{"STATE_DIRECTORY", "HOME", "home", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, "")
	}
	memory, bolt := dnsd.Zone{}, dnsd.Zone{Store: dnsd.Store{Kind: "bolt", Path: "svc.db"}}
	for _, c := range []struct {
		name  string
		state string
		zones []dnsd.Zone
		told  bool
	}{
		{"memory", "", []dnsd.Zone{bolt, memory}, true},
		{"memory with a directory", filepath.Join(t.TempDir(), "state"), []dnsd.Zone{memory}, false},
		{"bolt", "", []dnsd.Zone{bolt}, false},
		{"shared", "", []dnsd.Zone{{Store: dnsd.Store{Kind: "etcd"}}}, false},
		{"without a Corefile", "", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("STATE_DIRECTORY", c.state)
			var out bytes.Buffer
			cfg := dnsd.Config{Zones: c.zones}
			log := newLogger(&out, dnsd.Log{})
			r := &reloader{log: log, counts: newReloadCounts()}
			if got := r.equip(cfg); got.StateDir != c.state {
				t.Errorf("state in %q, want %q", got.StateDir, c.state)
			}
			log.sink.Close(time.Minute)
			if told := strings.Contains(out.String(), "set STATE_DIRECTORY or HOME"); told != c.told {
				t.Errorf("told: %t, want %t: %s", told, c.told, out.String())
			}
		})
	}
}
