package nameserver

import (
	"log/slog"
	"testing"
)

// TestConnectionsLeaveDescriptorsForOthers: the hook and the store need some.
func TestConnectionsLeaveDescriptorsForOthers(t *testing.T) {
	var log buffer
	for limit, want := range map[int]int{0: 1000, 60: 30, 1999: 999, 2000: 1000, 1 << 20: 1000, 1: 1} {
		set := &settings{log: slog.New(slog.NewTextHandler(&log, nil)), Config: Config{TCP: TCPLimits{Conns: 1000}}}
		if set.fitDescriptors(limit); set.TCP.Conns != want {
			t.Errorf("%d descriptors: %d connections, want %d", limit, set.TCP.Conns, want)
		}
	}
	if n := log.count("RLIMIT_NOFILE"); n != 3 {
		t.Errorf("told %d times, want 3", n)
	}
}
