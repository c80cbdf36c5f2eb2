package nameserver

import (
	"log/slog"
	"strings"
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
