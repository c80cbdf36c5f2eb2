package resolver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

var update = flag.Bool("update", false, "write the tables in testdata")

// conduct is how a server behaves, over one transport or for one type.
type conduct struct {
	name  string
	reply func(good handler) handler
	fault error
}

// later answers after a time.
func later(d time.Duration) func(handler) handler {
	return func(good handler) handler {
		return func(network string, q *dns.Msg) [][]byte {
			time.Sleep(d)
			return good(network, q)
		}
	}
}

// ended is when the slowest answer has been given.
const ended = 2 * time.Second

func always(h handler) func(handler) handler { return func(handler) handler { return h } }

// conducts is all that a server can do to a question.
func conducts(t testing.TB) map[string]conduct {
	broken := func(good handler) handler {
		return spoiled(good, func(b []byte) [][]byte { return [][]byte{b[:len(b)-3]} })
	}
	wrongID := func(good handler) handler {
		return spoiled(good, func(b []byte) [][]byte { b[0]++; return [][]byte{b} })
	}
	truncated := func(_ string, q *dns.Msg) [][]byte {
		m := new(dns.Msg).SetReply(q)
		m.Truncated = true
		return pack(m)
	}
	same := func(good handler) handler { return good }
	out := map[string]conduct{}
	for _, c := range []conduct{
		{"good", same, nil},
		{"slow 80ms", later(80 * time.Millisecond), nil},
		{"slow 1.2s", later(1200 * time.Millisecond), nil},
		{"silent", always(silence), nil},
		{"refused", same, syscall.ECONNREFUSED},
		{"EPERM", same, syscall.EPERM},
		{"unreachable", same, syscall.ENETUNREACH},
		{"truncated", always(truncated), nil},
		{"broken", broken, nil},
		{"wrong id", wrongID, nil},
		{"lame", always(lame), nil},
		{"NXDOMAIN", always(zone(t, soa)), nil},
		{"REFUSED", always(rcode(dns.RcodeRefused)), nil},
		{"SERVFAIL", always(rcode(dns.RcodeServerFailure)), nil},
		{"FORMERR", always(rcode(dns.RcodeFormatError)), nil},
		{"none", always(zone(t, soa, "a.svc. 5 IN TXT x", mathTCP+" 5 IN TXT x")), nil},
	} {
		out[c.name] = c
	}
	return out
}

// table compares lines with a file in testdata, which -update writes.
func table(t *testing.T, file string, lines []string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	old := strings.Split(string(want), "\n")
	for i, line := range append(lines, "") {
		if i >= len(old) || line != old[i] {
			t.Fatalf("%s:%d (go test -update writes it):\ngot  %s\nwant %s", path, i+1, line, old[min(i, len(old)-1)])
		}
	}
	t.Fatalf("%s: %d lines, want %d", path, len(lines), len(old)-1)
}

// result is what a Lookup came to: addresses or the class of the error, and the time
// it took.
func result(got State, err error, took time.Duration) string {
	what := strings.ReplaceAll(addrs(got), "2001:db8::1", "6")
	switch {
	case err == nil:
	case errors.Is(err, ErrNoSuchName):
		what = "no such name"
	case errors.Is(err, os.ErrDeadlineExceeded):
		what = "error: time-out"
	case errors.Is(err, syscall.ECONNREFUSED):
		what = "error: connection refused"
	default:
		what = "error"
	}
	return fmt.Sprintf("%-24s %6v", what, took.Round(time.Millisecond))
}

// count tells the queries of each kind, by transport.
func count(s *fakeServer, types ...string) string {
	var out []string
	for _, typ := range types {
		var udp, tcp int
		for _, q := range s.asked(typ) {
			if q.network == "udp" {
				udp++
			} else {
				tcp++
			}
		}
		out = append(out, fmt.Sprintf("%s %d+%d", typ, udp, tcp))
	}
	return strings.Join(out, ", ")
}

// TestEveryTransportWithEveryOther: a server does each thing over UDP and each over TCP.
// The table has the result, the time it took, and the queries that arrived (UDP+TCP). The
// second Lookup comes after the TTL and shows what the Resolver has remembered.
func TestEveryTransportWithEveryOther(t *testing.T) {
	all := conducts(t)
	over := []string{"good", "slow 80ms", "slow 1.2s", "silent", "refused", "EPERM", "truncated", "broken", "wrong id", "SERVFAIL", "FORMERR"}
	lines := []string{fmt.Sprintf("%-10s %-10s %-31s %-14s %-31s %s", "UDP", "TCP", "Lookup", "queries", "after the TTL", "queries in all")}
	for _, udp := range over {
		for _, tcp := range over {
			synctest.Test(t, func(t *testing.T) {
				good := two(t)
				s, r := one(byNetwork(all[udp].reply(good), all[tcp].reply(good)))
				s.fault("udp", all[udp].fault)
				s.fault("tcp", all[tcp].fault)
				line := fmt.Sprintf("%-10s %-10s", udp, tcp)
				for range 2 {
					begin := time.Now()
					got, err := r.Lookup(t.Context(), mathTCP)
					line += fmt.Sprintf(" %s  %-14s", result(State{}, err, time.Since(begin))+map[bool]string{true: "!"}[err == nil && len(got.Endpoints) != 2], count(s, "SRV"))
					time.Sleep(10 * time.Second)
				}
				lines = append(lines, strings.TrimRight(line, " "))
				time.Sleep(ended)
			})
		}
	}
	table(t, "transports.txt", lines)
}

// TestEveryServerWithEveryOther: each of two servers does each thing to the question. The
// table has the results when nothing was known, and when a set of two was.
func TestEveryServerWithEveryOther(t *testing.T) {
	all := conducts(t)
	do := []string{"good", "silent", "refused", "truncated", "wrong id", "lame", "none", "NXDOMAIN", "REFUSED", "SERVFAIL"}
	lines := []string{fmt.Sprintf("%-10s %-10s %-31s %s", "first", "second", "Lookup", "a set that was known, a minute later")}
	for _, first := range do {
		for _, second := range do {
			line := fmt.Sprintf("%-10s %-10s", first, second)
			synctest.Test(t, func(t *testing.T) {
				n := fakeNet{"ns1:53": newServer(all[first].reply(two(t))), "ns2:53": newServer(all[second].reply(two(t)))}
				for i, c := range []string{first, second} {
					s := n[fmt.Sprintf("ns%d:53", i+1)]
					s.fault("udp", all[c].fault)
					s.fault("tcp", all[c].fault)
				}
				begin := time.Now()
				got, err := n.client("ns1", "ns2").Lookup(t.Context(), mathTCP)
				what := result(State{}, err, time.Since(begin))
				if len(got.Endpoints) == 2 {
					what = fmt.Sprintf("%-24s %6v", "found", time.Since(begin))
				}
				line += " " + what
				time.Sleep(ended)
			})
			synctest.Test(t, func(t *testing.T) {
				n := fakeNet{"ns1:53": newServer(two(t)), "ns2:53": newServer(two(t))}
				w := watch(t, n.client("ns1", "ns2"), mathTCP)
				defer time.Sleep(ended)
				defer w.close()
				synctest.Wait()
				for i, c := range []string{first, second} {
					s := n[fmt.Sprintf("ns%d:53", i+1)]
					s.become(all[c].reply(two(t)))
					s.fault("udp", all[c].fault)
					s.fault("tcp", all[c].fault)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				got := w.last()
				line += fmt.Sprintf(" %v %d", got.Trust, len(got.Endpoints))
			})
			lines = append(lines, line)
		}
	}
	table(t, "servers.txt", lines)
}

// TestEveryFamilyWithEveryOther: there is a target without glue. Its server does each
// thing to A and each to AAAA, once when no address is known and once when both were. The
// second target answers, so that no Lookup waits for the first.
func TestEveryFamilyWithEveryOther(t *testing.T) {
	all := conducts(t)
	do := []string{"good", "slow 80ms", "slow 1.2s", "silent", "none", "NXDOMAIN", "lame", "REFUSED", "SERVFAIL"}
	records := []string{mathTCP + " 5 IN SRV 0 0 80 a.svc.", "a.svc. 5 IN A 10.0.0.1", "a.svc. 5 IN AAAA 2001:db8::1", soa}
	lines := []string{fmt.Sprintf("%-10s %-10s %-31s %-16s %s", "A", "AAAA", "nothing known", "queries", "both were known, a minute later")}
	for _, a := range do {
		for _, aaaa := range do {
			good := withoutGlue(t, zone(t, records...))
			bad := func(network string, q *dns.Msg) [][]byte {
				switch q.Question[0].Qtype {
				case dns.TypeA:
					return all[a].reply(good)(network, q)
				case dns.TypeAAAA:
					return all[aaaa].reply(good)(network, q)
				}
				return good(network, q)
			}
			line := fmt.Sprintf("%-10s %-10s", a, aaaa)
			synctest.Test(t, func(t *testing.T) {
				s, r := one(bad)
				begin := time.Now()
				got, err := r.Lookup(t.Context(), mathTCP)
				line += fmt.Sprintf(" %s  %-16s", result(got, err, time.Since(begin)), strings.ReplaceAll(count(s, "A", "AAAA"), ", ", " "))
				time.Sleep(ended)
			})
			synctest.Test(t, func(t *testing.T) {
				s, r := one(good)
				w := watch(t, r, mathTCP)
				defer time.Sleep(ended)
				defer w.close()
				synctest.Wait()
				first := w.last().Endpoints[0].Addr
				s.become(bad)
				time.Sleep(time.Minute)
				synctest.Wait()
				got := w.last()
				line += fmt.Sprintf(" %v %s", got.Trust, strings.ReplaceAll(addrs(got), "2001:db8::1", "6"))
				for i, st := range w.seen() {
					if n := len(st.Endpoints); n > 0 && st.Endpoints[0].Addr != first && slices.Contains(st.Endpoints[0].Alt, first) {
						t.Errorf("A %s, AAAA %s: state %d has Addr %s, though %s is still there", a, aaaa, i, st.Endpoints[0].Addr, first)
					}
				}
			})
			lines = append(lines, line)
		}
	}
	table(t, "families.txt", lines)
}

// TestScriptsStayWithinTheirBounds: servers that change their conduct at random, for
// each transport and each type. Whatever they do, a Lookup ends by its deadline, the
// queries stay within a bound, no set is emptied unless a server with authority has said
// so twice, and endpoints can be dialled.
func TestScriptsStayWithinTheirBounds(t *testing.T) {
	all := conducts(t)
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range all {
			if !yield(name) {
				return
			}
		}
	})
	records := []string{soa}
	for i := range 4 {
		records = append(records, fmt.Sprintf("%s 5 IN SRV 0 0 80 h%d.svc.", mathTCP, i), fmt.Sprintf("h%d.svc. 5 IN A 10.0.0.%d", i, i+1))
	}
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			good := zone(t, records...)
			if rnd.IntN(2) == 0 {
				good = withoutGlue(t, good)
			}
			n := fakeNet{}
			var servers []string
			for i := range 1 + rnd.IntN(3) {
				servers = append(servers, fmt.Sprintf("ns%d", i+1))
				n[fmt.Sprintf("ns%d:53", i+1)] = newServer(good)
			}
			r := n.client(servers...)
			r.Rand = rand.New(rand.NewPCG(seed, 2))
			w := watch(t, r, mathTCP)
			synctest.Wait()
			saidNo := false
			var script []string
			const steps, step = 20, 15 * time.Second
			for range steps {
				for name, s := range n {
					typed := map[string]conduct{}
					for _, key := range []string{"udp SRV", "tcp SRV", "udp A", "tcp A", "udp AAAA", "tcp AAAA"} {
						c := all["good"]
						if rnd.IntN(2) == 0 {
							c = all[names[rnd.IntN(len(names))]]
						}
						if key[4:] == "SRV" && (c.name == "NXDOMAIN" || c.name == "none") {
							saidNo = true
						}
						typed[key] = c
						script = append(script, name+" "+key+" "+c.name)
					}
					s.become(func(network string, q *dns.Msg) [][]byte {
						return typed[network+" "+dns.Type(q.Question[0].Qtype).String()].reply(good)(network, q)
					})
					s.fault("udp", typed["udp SRV"].fault)
					s.fault("tcp", typed["tcp SRV"].fault)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Millisecond)
				begin := time.Now()
				end, _ := ctx.Deadline()
				got, err := (&Resolver{Servers: r.Servers, Dial: r.Dial, source: r.source}).Lookup(ctx, mathTCP)
				if took := time.Since(begin); took > end.Sub(begin) {
					t.Errorf("seed %d: a Lookup took %v, its deadline was %v", seed, took, end.Sub(begin))
				}
				if (err == nil) != (len(got.Endpoints) > 0) {
					t.Errorf("seed %d: %v, %v", seed, got, err)
				}
				cancel()
				for _, s := range n { // only the watcher's queries count
					synctest.Wait()
					s.mu.Lock()
					s.queries = slices.DeleteFunc(s.queries, func(a asked) bool { return !a.at.Before(begin) })
					s.mu.Unlock()
				}
				time.Sleep(step)
			}
			synctest.Wait()
			total := 0
			for _, s := range n {
				for _, typ := range []string{"SRV", "A", "AAAA"} {
					total += len(s.asked(typ))
				}
			}
			// A set that fails is asked for each 4 s or so, in two rounds of two datagrams
			// and one stream; a part of that falls on each server.
			const perPause, pause = 8, 4 * time.Second
			if most := len(n) * perPause * int(steps*step/pause); total > most {
				t.Errorf("seed %d: %d queries in %v to %d servers, want at most %d", seed, total, steps*step, len(n), most)
			}
			for _, st := range w.seen() {
				if len(st.Endpoints) == 0 && !saidNo {
					t.Errorf("seed %d: emptied by %v, though nobody said that there is nothing\n%s", seed, st.Err, strings.Join(script, "\n"))
					break
				}
				checkEndpointsNamed(t, st.Endpoints)
			}
			for _, s := range n { // all is well: all is found
				s.become(good)
				s.fault("udp", nil)
				s.fault("tcp", nil)
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if got := w.last(); len(got.Endpoints) != 4 || got.Err != nil || got.Trust != Confirmed {
				t.Errorf("seed %d: two minutes after all is well: %v, %v, %v", seed, addrs(got), got.Trust, got.Err)
			}
			w.close()
			time.Sleep(ended)
		})
	}
}

// checkEndpointsNamed is checkEndpoints for sets that may hold absolute names.
func checkEndpointsNamed(t *testing.T, eps []Endpoint) {
	t.Helper()
	for _, ep := range eps {
		if host, _, _ := strings.Cut(ep.Addr, ":"); !strings.HasPrefix(ep.Addr, "10.0.0.") && host != ep.Target {
			t.Errorf("endpoint %+v", ep)
		}
	}
}
