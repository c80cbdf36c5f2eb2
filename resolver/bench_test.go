package resolver

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func BenchmarkLookup(b *testing.B) {
	b.Run("cached", func(b *testing.B) {
		_, r := one(ttl(b, 86400))
		r.MinTTL, r.MaxTTL = 24*time.Hour, 24*time.Hour
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Lookup(b.Context(), mathTCP); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached-parallel", func(b *testing.B) {
		_, r := one(ttl(b, 86400))
		r.MinTTL, r.MaxTTL = 24*time.Hour, 24*time.Hour
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := r.Lookup(b.Context(), mathTCP); err != nil {
					b.Error(err)
				}
			}
		})
	})
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprintf("asked/endpoints=%d", n), func(b *testing.B) {
			h := service(b, n)
			query := new(dns.Msg).SetQuestion(mathTCP, dns.TypeSRV)
			query.SetEdns0(udpSize, false)
			ready := map[string][]byte{"udp": h("udp", query)[0], "tcp": h("tcp", query)[0]}
			_, r := one(func(network string, q *dns.Msg) [][]byte {
				out := ready[network]
				out[0], out[1] = byte(q.Id>>8), byte(q.Id)
				return [][]byte{out}
			})
			m := new(memory)
			b.ReportAllocs()
			for b.Loop() {
				if out := r.resolve(b.Context(), mathTCP, "", nil, m); len(out.endpoints) != n {
					b.Fatal(out.err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) {
			msg := service(b, n)("tcp", new(dns.Msg).SetQuestion(mathTCP, dns.TypeSRV))[0]
			q := question{mathTCP, typeSRV}
			b.ReportAllocs()
			for b.Loop() {
				if rep, err := q.parse(msg); err != nil || len(rep.srvs) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
