//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"

	"github.com/miekg/dns"
)

// maxSet is the largest PTR set that is passed on. NSD and Knot hold at most
// 65,535 records in a set, and take minutes to come near. With so many services
// the list of all of them, _services._dns-sd._udp (RFC 6763 section 9), is that
// large; it is not asked for here.
const maxSet = 20_000

// saveZone transfers the zone from addr and writes it to a file that NSD and
// Knot read.
func saveZone(addr netip.AddrPort, file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	w := bufio.NewWriter(f)
	records, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("svc."), addr.String())
	if err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	pointers := make(map[string]int) // PTR records by owner
	left, soas := 0, 0
	for e := range records {
		if e.Error != nil {
			return fmt.Errorf("transfer: %w", e.Error)
		}
		for _, rr := range e.RR {
			h := rr.Header()
			if h.Rrtype == dns.TypeSOA {
				if soas++; soas > 1 {
					continue // the end
				}
			}
			if h.Rrtype == dns.TypePTR {
				if pointers[h.Name]++; pointers[h.Name] > maxSet {
					left++
					continue
				}
			}
			if _, err := fmt.Fprintln(w, rr); err != nil {
				return err
			}
		}
	}
	if left > 0 {
		fmt.Fprintf(os.Stderr, "%d records of sets beyond %d are not in the others' zone\n", left, maxSet)
	}
	return w.Flush()
}
