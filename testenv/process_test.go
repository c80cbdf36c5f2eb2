package testenv

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// Variables in the environment that make the test binary a dnsd.
const (
	storeVar = "ROLLCALL_TEST_STORE" // its bolt file; empty: the binary runs tests
	addrsVar = "ROLLCALL_TEST_ADDRS" // "DNS HOOK"; empty: free ports
	fullVar  = "ROLLCALL_TEST_FULL"  // set: there is no room to store more
)

func TestMain(m *testing.M) {
	if path := os.Getenv(storeVar); path != "" {
		peertest.Main(func(ctx context.Context) error { return runDNSD(ctx, path) })
	}
	os.Exit(m.Run())
}

// runDNSD runs a dnsd that prints the URL of its hook and its DNS address when it is
// ready.
func runDNSD(ctx context.Context, path string) error {
	name, hook, ok := strings.Cut(os.Getenv(addrsVar), " ")
	if !ok {
		name, hook = "127.0.0.1:0", "127.0.0.1:0"
	}
	s, err := dnsd.New(dnsd.Config{Zones: []dnsd.Zone{{
		Bind: []string{name}, Hook: dnsd.Hook{Addr: hook}, TTL: time.Second,
		Store: dnsd.Store{Kind: "bolt", Path: path},
	}}})
	if err != nil {
		return err
	}
	fmt.Println(s.HookURL())
	fmt.Println(s.DNSAddr())
	if os.Getenv(fullVar) != "" {
		if err := noMoreDisk(path); err != nil {
			return err
		}
	}
	return s.Run(ctx)
}
