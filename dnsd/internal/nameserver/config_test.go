package nameserver

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
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

// TestSessionsLeaveDescriptorsForOthers: three quarters of them are for connections and
// sessions. One address does not get all.
func TestSessionsLeaveDescriptorsForOthers(t *testing.T) {
	var log buffer
	for limit, want := range map[int]push.Limits{
		0:       {Sessions: 20_000, PerAddress: 1000},
		1 << 20: {Sessions: 20_000, PerAddress: 1000},
		28_000:  {Sessions: 20_000, PerAddress: 1000},
		20_000:  {Sessions: 14_000, PerAddress: 1000},
		4096:    {Sessions: 2072, PerAddress: 1000},
		1024:    {Sessions: 256, PerAddress: 128},
		1:       {Sessions: 1, PerAddress: 1},
	} {
		set := &settings{log: slog.New(slog.NewTextHandler(&log, nil)), Config: Config{TCP: TCPLimits{Conns: 1000}}}
		set.Push.Limits = push.Limits{Sessions: 20_000, PerAddress: 1000}
		if set.fitDescriptors(limit); set.Push.Limits != want {
			t.Errorf("%d descriptors: %+v, want %+v", limit, set.Push.Limits, want)
		}
	}
	if n := log.count("fewer sessions of push"); n != 4 {
		t.Errorf("told %d times, want 4", n)
	}
	off := &settings{log: slog.New(slog.NewTextHandler(&log, nil)), Config: Config{TCP: TCPLimits{Conns: 10}, Push: Push{Off: true, Limits: push.Limits{Sessions: 20_000}}}}
	if off.fitDescriptors(1024); log.count("fewer sessions of push") != 4 {
		t.Error("told, although push is off")
	}
}

func TestConfigErrorsNameTheirPlace(t *testing.T) {
	z := testZone(t)
	for want, c := range map[string]Config{
		"MaxUDP":                      {MaxUDP: 100},
		"NSID":                        {NSID: strings.Repeat("x", 65)},
		"RateLimit.PerSecond":         {RateLimit: RateLimit{PerSecond: 1_000_001}},
		"TLS: there":                  {TLS: TLS{Addrs: []string{"127.0.0.1:0"}}},
		"CookieSecrets[0]":            {CookieSecrets: []string{"00"}},
		"algorithm":                   {Zones: []Zone{{Zone: z, TSIG: map[string]Key{"k.": {Algorithm: "md5", Secret: "AAAA"}}}}},
		"TSIG[k.]: the secret":        {Zones: []Zone{{Zone: z, TSIG: map[string]Key{"k.": {Secret: "!"}}}}},
		"zone: nil":                   {Zones: []Zone{{}}},
		"Transfer[0]: no TSIG key":    {Zones: []Zone{{Zone: z, Transfer: []Secondary{{Key: "nope."}}}}},
		"Transfer[0]: it has neither": {Zones: []Zone{{Zone: z, Transfer: []Secondary{{}}}}},
		"no address":                  {},
		"want host:port":              {Addrs: []string{"127.0.0.1"}},
	} {
		if c.Addrs == nil && want != "no address" {
			c.Addrs = []string{"127.0.0.1:0"}
		}
		s, err := Listen(c)
		if err == nil {
			s.Close()
			t.Errorf("%s: accepted", want)
		} else if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "nameserver: ") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
