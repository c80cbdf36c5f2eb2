package balancer_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

var update = flag.Bool("update", false, "write SIMULATION.md")

// TestSimulation plays some misfortunes of a service with each policy, and compares the
// results with SIMULATION.md.
func TestSimulation(t *testing.T) {
	doc := &bytes.Buffer{}
	doc.WriteString(preface)
	for _, sc := range []struct {
		name, text string
		head       string
		play       func(t *testing.T, policy string) string
	}{
		{"slow", "Two slow nodes\n\n16 nodes answer in 50 ms on average, but two of them take 16 times as long. There are 500\ncalls a second for 20 s.", "p50\tp99\tp99.9\tcalls to the slow nodes", playSlow},
		{"failfast", "A node that fails at once\n\nThree nodes answer in 20 ms, but one fails each call within 1 ms. There are 200 calls\na second for 30 s, and no retries.", "calls to the bad node\tejected\tfailed calls", playFailFast},
		{"freeze", "A node that freezes\n\nThree nodes answer in 20 ms. After 5 s one of them accepts calls and never answers.\nCalls time out after 1 s. There are 150 calls a second for 30 s, and no retries.", "calls to it after the third timeout\tejected\tfailed calls", playFreeze},
		{"rolling", "A rolling replacement\n\nEight nodes answer in 20 ms. Every 5 s one is replaced by a node with a new address,\nuntil all are new. A slow start takes 10 s. There are 250 calls a second for 80 s. A\nnode's share is the number of its calls, divided by the number that it should have had\nwhile it was announced.", "smallest share\tgreatest share", playRolling},
		{"allfail", "Everything fails\n\nFive nodes fail each call within 5 ms. There are 200 calls a second for 10 s. Each is\ntried up to three times, as far as the budget allows.", "attempts a call\twithout budget", playAllFail},
		{"refuse", "A node that refuses\n\nThree nodes answer in 20 ms. From the 5th to the 15th second one of them refuses each\ncall within 1 ms, and asks for 1 s without calls. There are 150 calls a second for 40 s.\nA refused call is tried once more.", "refused\tfailed calls\tits share later", playRefuse},
		{"overload", "More calls than the nodes can take\n\nFive nodes answer in 20 ms and take 8 calls at a time. They refuse the others within\n1 ms, and ask for 200 ms without calls. There are 2,600 calls a second for 3 s, which is\n30 % more than the nodes can answer. A refused call is tried once more.", "answered, of what the nodes can\tthe same if they ask for nothing\tattempts a call", playOverload},
	} {
		t.Run(sc.name, func(t *testing.T) {
			fmt.Fprintf(doc, "\n## %s\n\n", sc.text)
			table := [][]string{append([]string{"policy"}, strings.Split(sc.head, "\t")...)}
			for _, policy := range balancer.Names() {
				t.Run(policy, func(t *testing.T) {
					table = append(table, append([]string{policy}, strings.Split(sc.play(t, policy), "\t")...))
				})
			}
			writeTable(doc, table)
			t.Logf("%s\n\n%s", sc.text, plainTable(table))
		})
	}
	if *update {
		if err := os.WriteFile("SIMULATION.md", doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if runtime.GOARCH != "amd64" {
		t.Log("SIMULATION.md is not compared: other processors round sums of products differently")
		return
	}
	want, err := os.ReadFile("SIMULATION.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, doc.Bytes()) {
		t.Errorf("SIMULATION.md is not what the simulation gives; go test -run Simulation ./balancer -update writes it:\n%s", doc)
	}
}

const preface = `# What the policies do

TestSimulation runs the real balancer in fake time, without a network. The load is open
loop: calls come whether earlier ones were answered or not. The same seeds give the same
numbers. Service times vary: half of each is fixed, the other half is exponential.

` + "    go test -run Simulation -v ./balancer            # prints it\n    go test -run Simulation ./balancer -update       # writes this page\n"

func writeTable(doc *bytes.Buffer, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(doc, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			doc.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
}

func plainTable(rows [][]string) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	return out.String()
}

// named is a group's configuration with the policy of this name.
func named(t *testing.T, policy string) balancer.Config {
	p, err := balancer.ByName(policy)
	if err != nil {
		t.Fatal(err)
	}
	return balancer.Config{Policy: p}
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
}

var slowP99 = map[string]time.Duration{} // by policy, of those played so far

func playSlow(t *testing.T, policy string) (row string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(named(t, policy), 1)
		s.group.Update(servers(0, 16))
		slow := map[string]bool{"10.0.0.3:80": true, "10.0.0.11:80": true}
		s.serve = func(addr string, _ time.Duration) (time.Duration, balancer.Outcome) {
			if slow[addr] {
				return s.vary(800 * time.Millisecond), balancer.OK
			}
			return s.vary(50 * time.Millisecond), balancer.OK
		}
		s.load(500, 20*time.Second)
		s.run()
		onSlow := s.picks["10.0.0.3:80"] + s.picks["10.0.0.11:80"]
		slowP99[policy] = s.quantile(0.99)
		row = fmt.Sprintf("%s\t%s\t%s\t%.2f %%", ms(s.quantile(0.5)), ms(s.quantile(0.99)), ms(s.quantile(0.999)), 100*float64(onSlow)/float64(s.calls))
		if policy == "round_robin" && 5*slowP99["p2c"] > s.quantile(0.99) {
			t.Errorf("p99 of p2c is %v, more than a fifth of round robin's %v", slowP99["p2c"], s.quantile(0.99))
		}
	})
	return row
}

func playFailFast(t *testing.T, policy string) (row string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(named(t, policy), 2)
		s.group.Update(servers(0, 3))
		const bad = "10.0.0.1:80"
		s.serve = func(addr string, _ time.Duration) (time.Duration, balancer.Outcome) {
			if addr == bad {
				return time.Millisecond, balancer.Failed
			}
			return s.vary(20 * time.Millisecond), balancer.OK
		}
		s.load(200, 30*time.Second)
		ejected := 0
		s.at(30*time.Second, func() { ejected = s.group.Nodes()[1].Ejections })
		s.run()
		row = fmt.Sprintf("%d\t%d\t%d", s.picks[bad], ejected, s.failed)
		// Three failures eject the node, and each failed probe ejects it again. One more
		// call may have begun before the third failure.
		if s.picks[bad] > 3+ejected+1 {
			t.Errorf("%d calls to the bad node, ejected %d times", s.picks[bad], ejected)
		}
	})
	return row
}

func playFreeze(t *testing.T, policy string) (row string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(named(t, policy), 3)
		s.group.Update(servers(0, 3))
		const bad, frozen, timeout = "10.0.0.1:80", 5 * time.Second, time.Second
		s.serve = func(addr string, at time.Duration) (time.Duration, balancer.Outcome) {
			took := s.vary(20 * time.Millisecond)
			if addr == bad && at+took > frozen {
				return timeout, balancer.Failed
			}
			return took, balancer.OK
		}
		s.load(150, 30*time.Second)
		ejected := 0
		s.at(30*time.Second, func() { ejected = s.group.Nodes()[1].Ejections })
		s.run()
		third := s.doneAt[bad][2]
		after := 0
		for _, at := range s.pickAt[bad] {
			if at > third {
				after++
			}
		}
		row = fmt.Sprintf("%d\t%d\t%d", after, ejected, s.failed)
		if after > ejected {
			t.Errorf("%d calls after the third timeout, ejected %d times", after, ejected)
		}
	})
	return row
}

func playRolling(t *testing.T, policy string) (row string) {
	synctest.Test(t, func(t *testing.T) {
		const n, every, end = 8, 5 * time.Second, 80 * time.Second
		s := newSim(named(t, policy), 4)
		s.group.Update(servers(0, n))
		due := map[string]float64{}
		announced := servers(0, n)
		for i := range n {
			s.at(time.Duration(i+1)*every, func() {
				announced = servers(i+1, i+1+n)
				s.group.Update(announced)
			})
		}
		s.serve = func(string, time.Duration) (time.Duration, balancer.Outcome) {
			for _, ep := range announced {
				due[ep.Addr] += 1.0 / n
			}
			return s.vary(20 * time.Millisecond), balancer.OK
		}
		s.load(250, end)
		s.run()
		least, most := math.Inf(1), 0.0
		for addr, want := range due {
			share := float64(s.picks[addr]) / want
			least, most = min(least, share), max(most, share)
		}
		row = fmt.Sprintf("%.2f\t%.2f", least, most)
		if policy != "hash" && (least < 0.8 || most > 1.2) {
			t.Errorf("shares between %.2f and %.2f, want them within 20 %%", least, most)
		}
	})
	return row
}

func playAllFail(t *testing.T, policy string) (row string) {
	per := func(retries func(a *balancer.Account, calls int) bool) (attempts float64) {
		synctest.Test(t, func(t *testing.T) {
			const rate, seconds = 200, 10
			s := newSim(named(t, policy), 5)
			s.group.Update(servers(0, 5))
			account := balancer.NewAccount(balancer.Budget{})
			s.serve = func(string, time.Duration) (time.Duration, balancer.Outcome) {
				return s.vary(5 * time.Millisecond), balancer.Failed
			}
			s.retries = func() bool { return retries(account, s.calls) }
			for i := range rate * seconds {
				s.at(time.Duration(i)*time.Second/rate, func() {
					s.calls++
					s.call(s.now(), 0, nil)
				})
			}
			s.run()
			attempts = float64(s.tries) / float64(s.calls)
		})
		return attempts
	}
	with := per(func(a *balancer.Account, calls int) bool { return a.Spend(uint64(calls)) })
	without := per(func(*balancer.Account, int) bool { return true })
	if most := 1 + 0.1 + 3*10.0/(200*10); with > most+0.001 {
		t.Errorf("%.3f attempts a call, the budget allows %.3f", with, most)
	}
	return fmt.Sprintf("%.2f\t%.2f", with, without)
}

func playRefuse(t *testing.T, policy string) (row string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(named(t, policy), 6)
		s.group.Update(servers(0, 3))
		const bad, from, to, end = "10.0.0.1:80", 5 * time.Second, 15 * time.Second, 40 * time.Second
		s.wait = time.Second
		s.serve = func(addr string, at time.Duration) (time.Duration, balancer.Outcome) {
			if addr == bad && at >= from && at < to {
				return time.Millisecond, balancer.Refused
			}
			return s.vary(20 * time.Millisecond), balancer.OK
		}
		s.load(150, end)
		s.run()
		later, all := 0, 0
		for addr, at := range s.pickAt {
			for _, at := range at {
				if at < to+10*time.Second {
					continue
				}
				all++
				if addr == bad {
					later++
				}
			}
		}
		share := float64(later) / float64(all)
		row = fmt.Sprintf("%d\t%d\t%.2f", s.refused, s.failed, share)
		// It is asked once in each second. A few calls may be on the way at the same time.
		if s.refused > 2*int((to-from)/s.wait) || s.failed > 0 {
			t.Errorf("%d calls were refused, %d failed", s.refused, s.failed)
		}
		if share < 0.25 || share > 0.4 {
			t.Errorf("10 s later it gets %.2f of the calls, want a third", share)
		}
	})
	return row
}

func playOverload(t *testing.T, policy string) string {
	const nodes, room, rate, seconds = 5, 8, 2600, 3
	play := func(wait time.Duration) (answered, attempts float64) {
		synctest.Test(t, func(t *testing.T) {
			s := newSim(named(t, policy), 7)
			s.group.Update(servers(0, nodes))
			s.wait = wait
			busy, done := map[string]int{}, 0
			s.serve = func(addr string, at time.Duration) (time.Duration, balancer.Outcome) {
				if busy[addr] == room {
					return time.Millisecond, balancer.Refused
				}
				busy[addr]++
				took := s.vary(20 * time.Millisecond)
				s.at(at+took, func() {
					busy[addr]--
					done++
				})
				return took, balancer.OK
			}
			s.load(rate, seconds*time.Second)
			s.run()
			answered = float64(done) / (nodes * room * seconds * float64(time.Second/(20*time.Millisecond)))
			attempts = float64(s.tries) / float64(s.calls)
		})
		return answered, attempts
	}
	with, attempts := play(200 * time.Millisecond)
	without, _ := play(0)
	if with < 0.85 {
		t.Errorf("the nodes answered %.2f of what they can", with)
	}
	return fmt.Sprintf("%.2f\t%.2f\t%.2f", with, without, attempts)
}
