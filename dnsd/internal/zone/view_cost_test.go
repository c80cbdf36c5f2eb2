package zone

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestADifferenceOfALargeServiceCostsItsChange: and not a look at all its instances.
func TestADifferenceOfALargeServiceCostsItsChange(t *testing.T) {
	z, was := largeChange(t, 5000)
	allocs := testing.AllocsPerRun(10, func() {
		now, parts, ok := z.Since(was)
		if !ok || len(parts) != 2 {
			t.Fatal(parts, ok)
		}
		if removed, added := was.Difference(now, parts[1]).Followed("_svc000000._tcp.svc."); len(removed) != 1 || len(added) != 1 {
			t.Fatal(removed, added)
		}
	})
	if allocs > 500 {
		t.Errorf("the difference of one weight made %v allocations", allocs)
	}
}

// largeChange makes a service of n instances, and changes the weight of one.
func largeChange(t testing.TB, n int) (z *Zone, was View) {
	ins := make([]*registry.Instance, n)
	for i := range ins {
		ins[i] = benchInstances(1)[0]
		ins[i].ID = fmt.Sprintf("i%04d", i)
		ins[i].Host = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
	}
	z = newTestZone(t, testConfig(), 1, ins...)
	was = z.View()
	now := *ins[n/2]
	now.Weight++
	z.Apply([]registry.Change{{Revision: 2, Old: ins[n/2], New: &now}})
	return z, was
}

func BenchmarkFollowed(b *testing.B) {
	for _, n := range []int{10, 5000} {
		z, _ := largeChange(b, n)
		v := z.View()
		b.Run(fmt.Sprintf("members=%d/whole", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(v.Followed("_svc000000._tcp.svc.")) != 2*n {
					b.Fatal("not all")
				}
			}
		})
		b.Run(fmt.Sprintf("members=%d/set", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(v.Set("_svc000000._tcp.svc.", dns.TypeSRV)) != n {
					b.Fatal("not all")
				}
			}
		})
	}
}

func BenchmarkDifference(b *testing.B) {
	for _, n := range []int{10, 5000} {
		z, was := largeChange(b, n)
		now := z.View()
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				was.Difference(now, "_svc000000._tcp").Followed("_svc000000._tcp.svc.")
			}
		})
	}
}

// BenchmarkSince asks for one change in zones of several sizes, with and without a
// journal.
func BenchmarkSince(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		for _, steps := range []int{0, -1} {
			b.Run(fmt.Sprintf("services=%d/journal=%t", n, steps == 0), func(b *testing.B) {
				cfg := testConfig()
				cfg.JournalSteps = steps
				ins := benchInstances(10 * n)
				for i := range ins {
					if i%10 > 0 {
						ins[i] = ins[i-i%10] // one instance for each service: the others count for nothing
					}
				}
				z := newTestZone(b, cfg, 1, slices.Compact(ins)...)
				was := z.View()
				z.Apply([]registry.Change{{Revision: 2, Old: ins[0], New: ins[0]}})
				b.ReportAllocs()
				for b.Loop() {
					if _, parts, ok := z.Since(was); !ok || len(parts) != 2 {
						b.Fatal(parts, ok)
					}
				}
			})
		}
	}
}
