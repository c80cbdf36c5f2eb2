package integrations

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/testenv"
)

const (
	ttl      = time.Second // of testenv's records, also of names that are not there
	negative = time.Second
	// slack is what a busy machine adds to each time, and a program that rounds up.
	slack = 15 * time.Second
)

// A journey is what each program that answers for the zone must go along with.
type journey struct {
	t       *testing.T
	env     *testenv.Env
	page    string        // in docs/integrations
	at      string        // where the command of the page asks
	program string        // the address of its DNS
	away    time.Duration // until the program uses a dnsd again that was away; 0: a TTL
	keeps   bool          // it answers while dnsd is away
}

func newJourney(t *testing.T, page string, transfer ...dnsd.Transfer) *journey {
	t.Helper()
	zone := dnsd.Zone{TTL: ttl, Apex: dnsd.Apex{NegativeTTL: negative}}
	for _, t := range transfer {
		zone.Transfer = t
	}
	env := testenv.New(t, testenv.Setup{Zone: zone})
	return &journey{t: t, env: env, page: page, at: "127.0.0.1"}
}

// travel is the journey: all instances, one that leaves, one that is killed, both again, a
// name that is asked for before it is there, a large set, and a dnsd that is away.
func (j *journey) travel() {
	j.t.Helper()
	env := j.env
	j.awaitNodes("the program is up", patience)
	host, port, _ := strings.Cut(j.program, ":")
	if lines := show(j.t, j.page, "@"+j.at, fmt.Sprintf("@%s -p %s", host, port)); len(lines) != 3 {
		j.t.Errorf("the page's command shows %q, and there are 3 instances", lines)
	}
	j.addressesOf(j.targets("_math._tcp"))

	j.notThere("_late._tcp")
	j.keepsTTLs("_math._tcp")
	j.keepsTTLs("_late._tcp")

	env.Drain(0)
	j.awaitNodes("an instance that left is gone", ttl+slack)
	env.Fault(1, testenv.Kill)
	env.AwaitNodes()
	j.awaitNodes("an instance that was killed is gone", ttl+slack)
	env.Restart(0)
	env.Restart(1)
	env.AwaitNodes()
	j.awaitNodes("both are back", ttl+slack)

	j.put("_late._tcp", 1)
	j.awaitCount("a service is found that was not there before", "_late._tcp", 1, negative+slack)

	// More than fits into a datagram.
	j.put("_many._tcp", 64)
	j.awaitCount("64 instances", "_many._tcp", 64, slack)

	env.StopDNSD(0)
	if j.keeps {
		if n := len(j.targets("_math._tcp")); n != 3 {
			j.t.Errorf("%d instances without dnsd, want 3", n)
		}
	} else {
		j.awaitCount("nothing is answered without dnsd", "_math._tcp", 0, ttl+slack)
	}
	env.StartDNSD(0)
	env.AwaitNodes()
	j.awaitNodes("dnsd is used again after it was away", max(j.away, ttl)+slack)
}

// stock is a client as those of other programs: the resolver of Go, which asks over UDP,
// and over TCP for what did not fit.
func (j *journey) stock() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, j.program)
	}}
}

// lookup is one question for the SRV records of a service.
func (j *journey) lookup(service string) ([]*net.SRV, error) {
	ctx, cancel := context.WithTimeout(j.t.Context(), 2*time.Second)
	defer cancel()
	_, records, err := j.stock().LookupSRV(ctx, "", "", service+".svc.")
	return records, err
}

func (j *journey) targets(service string) []*net.SRV {
	j.t.Helper()
	records, err := j.lookup(service)
	if err != nil {
		j.t.Fatal(err)
	}
	return records
}

// addressesOf finds an address for each target.
func (j *journey) addressesOf(records []*net.SRV) {
	j.t.Helper()
	for _, srv := range records {
		if addrs, err := j.stock().LookupHost(j.t.Context(), srv.Target); err != nil || len(addrs) == 0 {
			j.t.Errorf("the target %s: %v, %v", srv.Target, addrs, err)
		}
	}
}

// notThere makes the program remember that a service is not there.
func (j *journey) notThere(service string) {
	j.t.Helper()
	_, err := j.lookup(service)
	if e := (*net.DNSError)(nil); !errors.As(err, &e) || !e.IsNotFound {
		j.t.Errorf("%s, which is not there: %v", service, err)
	}
}

// keepsTTLs: no record that the program answers with may be kept longer than dnsd says, here
// and in further caches. (An answer without the SOA says nothing of that.)
func (j *journey) keepsTTLs(service string) {
	j.t.Helper()
	client := dns.Client{Timeout: patience}
	reply, _, err := client.ExchangeContext(j.t.Context(), new(dns.Msg).SetQuestion(service+".svc.", dns.TypeSRV), j.program)
	if err != nil {
		j.t.Fatal(err)
	}
	for _, rr := range slices.Concat(reply.Answer, reply.Ns, reply.Extra) {
		h := rr.Header()
		seconds := h.Ttl
		switch rr := rr.(type) {
		case *dns.OPT:
			continue
		case *dns.SOA:
			seconds = min(seconds, rr.Minttl) // RFC 2308 section 5
		}
		if longest := uint32(max(ttl, negative) / time.Second); seconds > longest && h.Rrtype != dns.TypeNS {
			j.t.Errorf("%s: %v, and dnsd said %d s", service, rr, longest)
		}
	}
}

// put registers n instances.
func (j *journey) put(service string, n int) {
	j.t.Helper()
	for i := range n {
		url := fmt.Sprintf("%s/v1/services/%s/instances/x%d", j.env.HookURL(), service, i)
		req, err := http.NewRequestWithContext(j.t.Context(), http.MethodPut, url, strings.NewReader(`{"port": 9001, "lease": "1h"}`))
		if err != nil {
			j.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			j.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			j.t.Fatalf("PUT %s: %s", url, resp.Status)
		}
	}
}

// awaitNodes waits until the program has the ports of the nodes that dnsd publishes.
func (j *journey) awaitNodes(what string, within time.Duration) {
	j.t.Helper()
	var want []uint16
	for _, in := range j.env.Published() {
		want = append(want, in.Port)
	}
	slices.Sort(want)
	took := await(j.t, what, within, func() (bool, any) {
		var have []uint16
		records, err := j.lookup("_math._tcp")
		for _, r := range records {
			have = append(have, r.Port)
		}
		slices.Sort(have)
		return slices.Equal(have, want), fmt.Sprint(have, err)
	})
	j.t.Logf("%s: %v", what, took.Round(time.Millisecond))
}

// awaitCount waits until the program has so many instances of a service.
func (j *journey) awaitCount(what, service string, want int, within time.Duration) {
	j.t.Helper()
	took := await(j.t, what, within, func() (bool, any) {
		records, err := j.lookup(service)
		return len(records) == want, fmt.Sprint(len(records), err)
	})
	j.t.Logf("%s: %v", what, took.Round(time.Millisecond))
}
