package promrollcall

import (
	"fmt"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcclient"
)

func TestNodesThatOnlyFinishHaveNoSeries(t *testing.T) {
	count, rows := nodes([]rpcclient.NodeStats{
		{Addr: "a:1", Standing: "healthy", Attempts: 7, Failures: 1, InFlight: 2, Connections: 3},
		{Addr: "a:1", Attempts: 100, InFlight: 9}, // it was announced before
		{Addr: "b:1", Standing: "down"},
	})
	if want := map[string]int{"healthy": 1, "down": 1, finishing: 1}; fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", count, want)
	}
	if got, want := fmt.Sprint(rows), "[{a:1 [7 1] [2 3]} {b:1 [0 0] [0 0]}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
