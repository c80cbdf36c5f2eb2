package zone

import (
	"fmt"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestTransferIsASnapshot reads a transfer while the zone changes under it.
func TestTransferIsASnapshot(t *testing.T) {
	var ins []*registry.Instance
	for i := range 1000 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_s%d._tcp/a%d 10.0.0.1:80", i/100, i)))
	}
	z := newTestZone(t, testConfig(), 1, ins...)
	_, records := z.Transfer()
	want := text(collect(records))
	soa, records := z.Transfer()
	var got []dns.RR
	for rr := range records {
		if len(got) == 10 {
			for i, in := range ins[:500] {
				z.Apply([]registry.Change{{Revision: uint64(2 + i), Old: in}})
			}
		}
		got = append(got, rr)
	}
	if soa.Serial != 1 || !slices.Equal(text(got), want) {
		t.Errorf("serial %d, %d records, want 1 and %d", soa.Serial, len(got), len(want))
	}
	if z.Serial() != 501 {
		t.Errorf("serial %d", z.Serial())
	}
}
