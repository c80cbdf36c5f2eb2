package resolver

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestWhatAnswersMean is the table of answers and what a first Lookup makes of
// them.
func TestWhatAnswersMean(t *testing.T) {
	tests := []struct {
		name    string
		records []string
		want    string // endpoints
		err     string
		is      error
	}{
		{
			name:    "a record with port 0 is left out alone (go-kit#892)",
			records: []string{mathTCP + " 5 IN SRV 0 0 0 a.svc.", mathTCP + " 5 IN SRV 0 0 80 b.svc.", "a.svc. 5 IN A 10.0.0.1", "b.svc. 5 IN A 10.0.0.2"},
			want:    "10.0.0.2:80",
		},
		{
			name:    "only unusable records are no answer (grpc#28595)",
			records: []string{mathTCP + " 5 IN SRV 0 0 0 a.svc.", mathTCP + " 5 IN SRV 0 0 80 gone.svc.", "a.svc. 5 IN A 10.0.0.1", soa},
			err:     "resolver: lookup _math._tcp.svc. SRV @ns1:53: no usable record among 2: a.svc. port 0: port 0, gone.svc. port 80: the target has no usable address (NOERROR)",
		},
		{
			name:    "target . is an answer, too",
			records: []string{mathTCP + " 5 IN SRV 0 0 0 ."},
			err:     `resolver: lookup _math._tcp.svc. SRV @ns1:53: service not offered (target ".") (NOERROR)`,
			is:      ErrNotOffered,
		},
		{
			name:    "target . beside others means nothing",
			records: []string{mathTCP + " 5 IN SRV 0 0 0 .", mathTCP + " 5 IN SRV 0 0 80 b.svc.", "b.svc. 5 IN A 10.0.0.2"},
			want:    "10.0.0.2:80",
		},
		{
			name:    "no such name",
			records: []string{soa},
			err:     "resolver: lookup _math._tcp.svc. SRV @ns1:53: no such name: no instance is registered under it (NXDOMAIN)",
			is:      ErrNoSuchName,
		},
		{
			name:    "no such data",
			records: []string{soa, mathTCP + ` 5 IN TXT "x"`},
			err:     "resolver: lookup _math._tcp.svc. SRV @ns1:53: no SRV records (NOERROR)",
			is:      ErrNoSuchName,
		},
		{
			name:    "a literal address as target",
			records: []string{mathTCP + " 5 IN SRV 0 0 80 10.0.0.9."},
			want:    "10.0.0.9:80",
		},
		{
			name:    "a target that is no host name",
			records: []string{mathTCP + ` 5 IN SRV 0 0 80 a\000b.svc.`, mathTCP + " 5 IN SRV 0 0 80 b.svc.", "b.svc. 5 IN A 10.0.0.2"},
			want:    "10.0.0.2:80",
		},
		{
			name:    "addresses that are none",
			records: []string{mathTCP + " 5 IN SRV 0 0 80 a.svc.", mathTCP + " 5 IN SRV 0 0 80 b.svc.", "a.svc. 5 IN A 0.0.0.0", "a.svc. 5 IN A 224.0.0.1", "b.svc. 5 IN A 10.0.0.2"},
			want:    "10.0.0.2:80",
		},
		{
			name: "dual stack is one endpoint",
			records: []string{
				mathTCP + " 5 IN SRV 0 0 80 a.svc.", "a.svc. 5 IN A 10.0.0.1", "a.svc. 5 IN AAAA 2001:db8::1", "a.svc. 5 IN A 10.0.0.3",
			},
			want: "[2001:db8::1]:80|10.0.0.1:80|10.0.0.3:80",
		},
		{
			name: "two names of one address are one endpoint",
			records: []string{
				mathTCP + " 5 IN SRV 1 3 80 a.svc.", mathTCP + " 5 IN SRV 1 4 80 b.svc.", mathTCP + " 5 IN SRV 2 9 80 c.svc.",
				"a.svc. 5 IN A 10.0.0.1", "b.svc. 5 IN A 10.0.0.1", "c.svc. 5 IN A 10.0.0.1",
			},
			want: "10.0.0.1:80",
		},
		{
			name:    "an alias at the owner",
			records: []string{mathTCP + " 5 IN CNAME _m._tcp.other.", "_m._tcp.other. 5 IN SRV 0 0 80 b.svc.", "b.svc. 5 IN A 10.0.0.2"},
			want:    "10.0.0.2:80",
		},
		{
			name: "a circle of aliases",
			records: []string{
				mathTCP + " 5 IN CNAME b.svc.", "b.svc. 5 IN CNAME " + mathTCP,
			},
			err: "resolver: lookup _math._tcp.svc. SRV @ns1:53: a chain of more than 8 aliases (NOERROR)",
		},
		{
			name: "sorted by priority, then address",
			records: []string{
				mathTCP + " 5 IN SRV 20 0 80 a.svc.", mathTCP + " 5 IN SRV 10 0 82 a.svc.", mathTCP + " 5 IN SRV 10 0 81 a.svc.", "a.svc. 5 IN A 10.0.0.1",
			},
			want: "10.0.0.1:81 10.0.0.1:82 10.0.0.1:80",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, r := one(zone(t, tt.records...))
				got, err := r.Lookup(t.Context(), mathTCP)
				if a := addrs(got); a != tt.want {
					t.Errorf("endpoints %q, want %q", a, tt.want)
				}
				if e := fmt.Sprint(err); err != nil && e != tt.err || err == nil && tt.err != "" {
					t.Errorf("error %q\nwant  %q", e, tt.err)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%v is not %v", err, tt.is)
				}
				var e *Error
				if err != nil && (!errors.As(err, &e) || e.Name != mathTCP) {
					t.Errorf("%v is no *Error about %s", err, mathTCP)
				}
			})
		})
	}
}

func TestAliasWithoutItsEndIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := zone(t, mathTCP+" 3 IN CNAME _m._tcp.other.")
		b := zone(t, "_m._tcp.other. 60 IN SRV 0 0 80 b.other.", "b.other. 60 IN A 10.0.0.2")
		_, r := one(func(network string, q *dns.Msg) [][]byte {
			if q.Question[0].Name == mathTCP {
				return a(network, q)
			}
			return b(network, q)
		})
		got, err := r.Lookup(t.Context(), mathTCP)
		if err != nil || addrs(got) != "10.0.0.2:80" || got.TTL != 3*time.Second {
			t.Errorf("%s, TTL %v, %v", addrs(got), got.TTL, err)
		}
	})
}
