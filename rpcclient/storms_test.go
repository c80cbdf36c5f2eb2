package rpcclient

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

var updateStorms = flag.Bool("update", false, "write ../docs/storms.md")

// between counts the times in [from, to) after begin: their number a second, and the
// greatest number in a twentieth of a second.
func between(times []time.Time, begin time.Time, from, to time.Duration) (rate, most float64) {
	slots := map[int64]int{}
	n := 0
	for _, at := range times {
		if d := at.Sub(begin); d >= from && d < to {
			n++
			slots[int64(d/(50*time.Millisecond))]++
		}
	}
	greatest := 0
	for _, k := range slots {
		greatest = max(greatest, k)
	}
	return float64(n) / (to - from).Seconds(), float64(greatest)
}

// phase is a row of a table: events are counted between two moments after the beginning.
type phase struct {
	name     string
	from, to time.Duration
}

// scenario is a table.
type scenario struct {
	name, text string
	instances  int
	scale      int // of 1,000 clients, this number is simulated
	phases     []phase
	play       func(s *world)
	priorities []uint16 // of the instances; nil: all have the same
}

var stormScenarios = []scenario{
	{
		"server", "One of two servers dies\n\nIt stays dead, and stays in DNS, because its lease is long. No call waits, because the other server works.", 2, 4,
		[]phase{{"before", -20 * time.Second, 0}, {"first second", 0, time.Second}, {"2nd to 10th", time.Second, 10 * time.Second}, {"2nd minute", time.Minute, 2 * time.Minute}},
		func(s *world) {
			s.kill("10.0.0.1:80")
			time.Sleep(2 * time.Minute)
		},
		nil,
	},
	{
		"priority", "All servers of the best priority die\n\nTwo of priority 10. There are two of priority 20, which have one connection each in reserve\nand get the second, and two of priority 30, which become the reserve.", 6, 4,
		[]phase{{"before", -20 * time.Second, 0}, {"first second", 0, time.Second}, {"2nd to 10th", time.Second, 10 * time.Second}, {"2nd minute", time.Minute, 2 * time.Minute}},
		func(s *world) {
			s.kill("10.0.0.1:80")
			s.kill("10.0.0.2:80")
			time.Sleep(2 * time.Minute)
		},
		[]uint16{10, 10, 20, 20, 30, 30},
	},
	{
		"all", "All servers die and come back\n\nBoth of two die at once and are back after a minute. Each client has a call waiting.", 2, 4,
		[]phase{
			{"before", -20 * time.Second, 0},
			{"first second", 0, time.Second},
			{"2nd to 10th", time.Second, 10 * time.Second},
			{"last half minute", 30 * time.Second, time.Minute},
			{"first second after the return", time.Minute, 61 * time.Second},
			{"2nd to 10th", 61 * time.Second, 70 * time.Second},
			{"2nd minute", 2 * time.Minute, 3 * time.Minute},
		},
		func(s *world) {
			s.kill("10.0.0.1:80")
			s.kill("10.0.0.2:80")
			time.Sleep(time.Minute)
			s.set(func() { s.up["10.0.0.1:80"], s.up["10.0.0.2:80"] = true, true })
			time.Sleep(2 * time.Minute)
		},
		nil,
	},
	{
		"dnsd", "dnsd dies and comes back\n\nIts port refuses for a minute, by UDP and TCP. The servers live.", 2, 4,
		[]phase{
			{"before", -20 * time.Second, 0},
			{"first second", 0, time.Second},
			{"2nd to 10th", time.Second, 10 * time.Second},
			{"last half minute", 30 * time.Second, time.Minute},
			{"first second after the return", time.Minute, 61 * time.Second},
			{"2nd to 10th", 61 * time.Second, 70 * time.Second},
			{"2nd minute", 2 * time.Minute, 3 * time.Minute},
		},
		func(s *world) {
			s.set(func() { s.dnsd = false })
			time.Sleep(time.Minute)
			s.set(func() { s.dnsd = true })
			time.Sleep(2 * time.Minute)
		},
		nil,
	},
	{
		"hour", "One of 20 endpoints is dead for an hour\n\nIt stays in DNS.", 20, 50,
		[]phase{{"before", -20 * time.Second, 0}, {"first second", 0, time.Second}, {"first minute", 0, time.Minute}, {"last half hour", 30 * time.Minute, time.Hour}},
		func(s *world) {
			s.kill("10.0.0.1:80")
			time.Sleep(time.Hour)
		},
		nil,
	},
}

const stormsPreface = `# What a thousand clients do when something dies

TestStorms measures this page. It runs real clients and resolvers in fake time; the DNS
server and the servers are functions of the test. The TTL is 5 s, each client has two
connections to each server, and all other settings are the defaults. The DNS server of the
test refuses TCP, so no client follows the service live: the page is about clients that ask
by TTL. For those that follow it, limits.md has the bound of what they send when dnsd ends
and comes back, and BENCHMARKS.md what 10,000 of them sent. The test runs 250
clients and multiplies by 4, or, for the hour, 20 clients and multiplies by 50. It counts
queries to the DNS server and dials of servers, also those that reach none. All clients
see the event in the same moment.

The column "one" has the queries or dials a second of one client, on average. "1,000" has
those of a thousand clients, and "peak" the most of these in any 50 ms. If they were spread
evenly over a second, the peak would be a twentieth. The numbers vary a little from run to
run.

` + "    go test -run Storms -v ./rpcclient            # prints it\n    go test -run Storms ./rpcclient -update       # writes this page\n" + `
The rules that lead to these numbers:

* The pause before each retry is random, and grows. For dials it is 50 ms to 1.05 s, then
  0.5 to 1.5 s, 1.5 to 2.5 s, 3 to 4 s, and from then on 4 to 5 s. No waiting call, no hint
  and no other connection makes it shorter. It is reset only by a connection that was made
  after the last failure and has lasted 5 s.
* A connection that ends because a value did not fit is no failure: the server works. The
  next dial comes within 0.2 s, however often that happens.
* The first dial after a loss comes at a random moment of the second after it. So do the
  dials of nodes that replace the lost ones, which are of the next priority or of a subset.
  Calls that find no other node wait for them.
* A lost node is a hint to ask DNS again. The client then sends a few queries within a
  second, in at most one series a TTL, and fewer when they find nothing.
`

// TestStorms simulates events that could make clients send a storm of queries and dials, and
// compares the figures with docs/storms.md. With the race detector it only runs them, with
// fewer clients.
func TestStorms(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a thousand clients take half a minute")
	}
	doc := bytes.NewBufferString(stormsPreface)
	for _, sc := range stormScenarios {
		t.Run(sc.name, func(t *testing.T) {
			times := uint64(50)
			switch {
			case *updateStorms:
			case peertest.UnderRace():
				sc.scale *= 4 // all of it takes a minute there
				times = 3
			default:
				times = 10 // they differ little
			}
			fmt.Fprintf(doc, "\n## %s\n\n", sc.text)
			doc.WriteString("| when | queries: one | 1,000 | peak | dials: one | 1,000 | peak |\n|---|---|---|---|---|---|---|\n")
			var many [][]float64
			play(t, sc, 1000/sc.scale, 0, func(row []float64) { many = append(many, row) })
			one := make([][]float64, len(sc.phases))
			for run := range times {
				i := 0
				play(t, sc, 1, run, func(row []float64) {
					if one[i] == nil {
						one[i] = make([]float64, len(row))
					}
					for k := range row {
						one[i][k] += row[k] / float64(times)
					}
					i++
				})
			}
			if peertest.UnderRace() && !*updateStorms {
				return // so few clients make no figures
			}
			for i, ph := range sc.phases {
				m, scale := many[i], float64(sc.scale)
				fmt.Fprintf(doc, "| %s | %.2f | %.0f | %.0f | %.2f | %.0f | %.0f |\n", ph.name,
					one[i][0], m[0]*scale, m[1]*scale, one[i][2], m[2]*scale, m[3]*scale)
			}
			for i, ph := range sc.phases {
				if ph.to-ph.from != time.Second {
					continue
				}
				for k, what := range []string{"queries", "dials"} {
					even := many[i][2*k] / 20 // in 50ms
					if peak := many[i][2*k+1]; peak > 2*even+4*math.Sqrt(even)+2 {
						t.Errorf("%s: %v of %v %s in 50ms, want about %.0f", ph.name, peak, many[i][2*k], what, even)
					}
				}
			}
			last, before := many[len(many)-1], many[0]
			if last[0] > 1.1*before[0] {
				t.Errorf("in the end %.1f queries a second, more than %.1f before", last[0], before[0])
			}
			if limit := 0.25 * float64(1000/sc.scale) * float64(min(2, sc.instances)); last[2] > limit {
				t.Errorf("in the end %.1f dials a second, more than %.1f", last[2], limit)
			}
		})
	}
	t.Log(doc)
	if t.Failed() {
		return
	}
	if *updateStorms {
		if err := os.WriteFile("../docs/storms.md", doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if peertest.UnderRace() {
		return
	}
	want, err := os.ReadFile("../docs/storms.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := unlike(string(want), doc.String()); diff != "" {
		t.Errorf("docs/storms.md is not what is played: %s\ngo test -run Storms ./rpcclient -update writes it:\n%s", diff, doc)
	}
}

// play runs a scenario and gives row the figures of each phase: queries a second, their
// peak, dials a second, their peak.
func play(t *testing.T, sc scenario, clients int, seed uint64, row func([]float64)) {
	synctest.Test(t, func(t *testing.T) {
		s := newWorld(t, sc.instances, sc.priorities...)
		s.seed = seed
		leave := s.join(t, clients)
		time.Sleep(time.Minute)
		begin := time.Now()
		sc.play(s)
		s.set(func() {
			for _, ph := range sc.phases {
				q, qMost := between(s.queries, begin, ph.from, ph.to)
				d, dMost := between(s.dials, begin, ph.from, ph.to)
				row([]float64{q, qMost, d, dMost})
			}
		})
		leave()
		runtime.GC()
	})
}

// unlike tells where two pages differ by more than chance: in words, or in numbers by more
// than a third and by more than a few.
func unlike(want, got string) string {
	ws, gs := strings.Split(want, "\n"), strings.Split(got, "\n")
	if len(ws) != len(gs) {
		return fmt.Sprintf("%d lines, not %d", len(ws), len(gs))
	}
	for i := range ws {
		if !strings.HasPrefix(ws[i], "| ") {
			if ws[i] != gs[i] {
				return fmt.Sprintf("line %d: %q, not %q", i+1, ws[i], gs[i])
			}
			continue
		}
		wc, gc := strings.Split(ws[i], "|"), strings.Split(gs[i], "|")
		if len(wc) != len(gc) || wc[1] != gc[1] {
			return fmt.Sprintf("line %d: %q, not %q", i+1, ws[i], gs[i])
		}
		for k := 2; k < len(wc); k++ {
			a, err1 := strconv.ParseFloat(strings.TrimSpace(wc[k]), 64)
			b, err2 := strconv.ParseFloat(strings.TrimSpace(gc[k]), 64)
			if err := errors.Join(err1, err2); err != nil {
				if wc[k] != gc[k] {
					return fmt.Sprintf("line %d: %q, not %q", i+1, wc[k], gc[k])
				}
				continue
			}
			few := 1.0 // of one client
			if k != 2 && k != 5 {
				few = 60 // of a thousand
			}
			if math.Abs(a-b) > max(a, b)/3+few {
				return fmt.Sprintf("line %d, %s: %v in the file, %v played", i+1, strings.TrimSpace(wc[1]), a, b)
			}
		}
	}
	return ""
}
