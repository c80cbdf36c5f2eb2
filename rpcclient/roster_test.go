package rpcclient

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// word is an answer of the source in short: "a b c", or why there are none.
func word(text string) *resolver.State {
	switch text {
	case "NXDOMAIN":
		return &resolver.State{Err: &resolver.Error{Name: "_math._tcp.svc.", Type: "SRV", Rcode: text, Err: resolver.ErrNoSuchName}}
	case "not offered":
		return &resolver.State{Err: &resolver.Error{Name: "_math._tcp.svc.", Type: "SRV", Err: resolver.ErrNotOffered}}
	case "unanswered":
		return &resolver.State{Err: errors.New("i/o timeout")}
	}
	s := &resolver.State{}
	for addr := range strings.FieldsSeq(text) {
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addr: addr, Target: addr + ".svc.", Priority: 10, Weight: 1})
	}
	return s
}

func TestRosterBelievesWhatCanBeTrue(t *testing.T) {
	for _, c := range []struct {
		name  string
		words []string // one a second
		down  string   // that do not work
		want  string   // in use after the last; in brackets those in reserve
		later string   // when the linger time is over
	}{
		{"one of two leaves", []string{"a b", "a"}, "", "a", "a"},
		{"half leave", []string{"a b c d", "a b"}, "", "a b", "a b"},
		{"more than half leave at once", []string{"a b c d", "a"}, "", "a b c d", "a"},
		{"those of them that are down", []string{"a b c d", "a"}, "b c", "a d", "a"},
		{"all leave", []string{"a b", "NXDOMAIN"}, "", "a b", ""},
		{"all leave, without a reason", []string{"a b", ""}, "", "a b", ""},
		{"and are down", []string{"a b", "NXDOMAIN"}, "a b", "", ""},
		{"one by one", []string{"a b c d", "a b c", "a b", "a"}, "", "a", "a"},
		{"the last one", []string{"a b", "a", "NXDOMAIN"}, "", "a", ""},
		{"decidedly", []string{"a b c", "not offered"}, "", "", ""},
		{"replaced by as many", []string{"a b", "c d"}, "", "c d", "c d"},
		{"replaced by as many that do not work", []string{"a b", "c d"}, "c d", "(a) (b) c d", "c d"},
		{"replaced by too few", []string{"a b c", "d"}, "", "a b c d", "d"},
		{"a registry without memory comes back", []string{"a b c d e", "NXDOMAIN", "a", "a c", "a b c e"}, "", "a b c d e", "a b c e"},
		{"nobody answers", []string{"a b c", "unanswered"}, "b", "a c", "a c"},
		{"an empty answer, and then none", []string{"a b c", "NXDOMAIN", "unanswered"}, "", "a b c", "a b c"},
		{"and then somebody, of fewer", []string{"a b c d", "unanswered", "a"}, "", "a b c d", "a"},
		{"and then somebody, of most", []string{"a b c d", "unanswered", "a b c"}, "", "a b c", "a b c"},
	} {
		r := roster{linger: 30 * time.Second}
		up := func(addr string) bool { return !slices.Contains(strings.Fields(c.down), addr) }
		use := func() string {
			var out []string
			for _, ep := range r.endpoints() {
				if ep.Priority == 65535 {
					ep.Addr = "(" + ep.Addr + ")"
				}
				out = append(out, ep.Addr)
			}
			slices.Sort(out)
			return strings.Join(out, " ")
		}
		now := time.Unix(1e9, 0)
		for _, w := range c.words {
			now = now.Add(time.Second)
			r.take(word(w), now, up)
			r.prune(now, up)
		}
		if got := use(); got != c.want {
			t.Errorf("%s: in use %q, want %q", c.name, got, c.want)
		}
		for range 100 { // as the timer does
			at := r.next(now)
			if at.IsZero() {
				break
			}
			now = at
			r.prune(now, up)
		}
		if got := use(); got != c.later {
			t.Errorf("%s: in use later %q, want %q", c.name, got, c.later)
		}
		if hopeless := c.later == ""; r.hopeless(now.Add(time.Hour)) != hopeless {
			t.Errorf("%s: hopeless is %v", c.name, !hopeless)
		}
	}
}

func TestNameThatNeverWasIsHopelessAtOnceAndOneThatWasAfterALinger(t *testing.T) {
	now := time.Unix(1e9, 0)
	down := func(string) bool { return false }
	r := roster{linger: 30 * time.Second}
	r.take(word("NXDOMAIN"), now, down)
	if !r.hopeless(now) {
		t.Error("a name that never was is waited for")
	}
	r.take(word("a"), now, down)
	r.take(word("NXDOMAIN"), now, down)
	if r.hopeless(now.Add(29 * time.Second)) {
		t.Error("given up although its registry may have been restarted")
	}
	r.take(word("unanswered"), now, down)
	if r.hopeless(now.Add(time.Hour)) {
		t.Error("given up though nobody says that it is gone")
	}
	r.take(word("NXDOMAIN"), now, down)
	if !r.hopeless(now.Add(30 * time.Second)) {
		t.Error("waited for though it is gone for good")
	}
}

// say makes a state that the client's source yields.
func (a *announcer) word(text string) {
	s := *word(text)
	s.Confirmed, s.TTL = time.Now(), time.Second
	a.states <- s
}

func TestWorkingNodesOutliveAnEmptyAnswer(t *testing.T) {
	for _, answer := range []string{"NXDOMAIN", ""} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(map[string]func(net.Conn){"a": stock(&Arith{}), "b": stock(&Arith{})})
			a := announce("a", "b")
			c := fakeClient(t, f, Config{Source: a})
			defer c.Close()
			allUp(t, c, 2)
			a.word(answer)
			for range 29 {
				time.Sleep(time.Second)
				if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
					t.Fatal(err)
				}
			}
			a.word("a b")
			time.Sleep(time.Minute)
			if n := len(f.dialled("a")) + len(f.dialled("b")); n != 4 {
				t.Errorf("%d dials, want 4: the connections should have stayed", n)
			}
			a.word(answer)
			time.Sleep(31 * time.Second)
			begin := time.Now()
			err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
			if !errors.Is(err, ErrNoNodes) {
				t.Fatal("used without end:", err)
			}
			if took := time.Since(begin); answer == "NXDOMAIN" && took > 0 {
				t.Errorf("the call waited %v for a service that is gone", took)
			}
		})
	}
}

func TestWorkingNodesOutliveAnyTimeWithoutAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"a": stock(&Arith{})})
		a := announce("a", "gone")
		c := fakeClient(t, f, Config{Source: a})
		defer c.Close()
		ready(t, c)
		a.word("unanswered")
		for range 100 {
			time.Sleep(time.Hour)
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(err)
			}
		}
		if nodes := c.Stats().Nodes; len(nodes) != 1 {
			t.Errorf("%+v", nodes)
		}
		w := c.page(time.Now()).Nodes[0].Why
		if !strings.Contains(w, "no longer announced") {
			t.Errorf("the page says %q", w)
		}
	})
}

func TestRemovedNodeThatDrainsGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drain := make(chan struct{})
		f := newFakeNet(map[string]func(net.Conn){"a": func(nc net.Conn) {
			p := greeted(nc)
			go silentWith(p)
			<-drain
			p.drain(1 << 40)
		}})
		a := announce("a")
		c := fakeClient(t, f, Config{Source: a, Conn: ConnConfig{PerNode: 1}})
		defer c.Close()
		ready(t, c)
		a.word("NXDOMAIN")
		synctest.Wait()
		if n := len(c.Stats().Nodes); n != 1 {
			t.Fatalf("%d nodes", n)
		}
		close(drain)
		synctest.Wait()
		if c.member("a") != nil {
			t.Error("still used")
		}
	})
}

func silentWith(p *peer) {
	for {
		if _, _, err := p.next(); err != nil {
			return
		}
	}
}

// A deployment that replaces all at once must not leave a moment without nodes, nor
// send calls to the old ones when the new ones work.
func TestReplacedNodesAreUsedUntilTheNewOnesWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"a": stock(&Arith{}), "b": stock(&Arith{})})
		a := announce("a", "b")
		c := fakeClient(t, f, Config{Source: a})
		defer c.Close()
		ready(t, c)
		a.word("c d")
		for range 10 {
			time.Sleep(time.Second)
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(err)
			}
		}
		f.set("c", stock(&Arith{}))
		time.Sleep(6 * time.Second)
		for range 20 {
			var node string
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), OnNode(&node)); err != nil || node != "c" {
				t.Fatal(node, err)
			}
		}
		synctest.Wait()
		if c.member("a") != nil || c.member("b") != nil {
			t.Error("the old ones are still there")
		}
	})
}

// The announcements of a set of nodes that all work change at random; calls must
// never fail while some were announced in the last half minute.
func TestNoAnswerMakesCallsFailWhileNodesWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := map[string]func(net.Conn){}
		for i := range 8 {
			nodes[fmt.Sprint("n", i)] = stock(&Arith{})
		}
		f := newFakeNet(nodes)
		a := announce("n0", "n1", "n2", "n3")
		c := fakeClient(t, f, Config{Source: a, WaitForNode: time.Second})
		defer c.Close()
		ready(t, c)
		for i := range 200 {
			switch {
			case i%7 == 6:
				a.word("NXDOMAIN")
			case i%5 == 4:
				a.word("unanswered")
			default:
				list := ""
				for n := range 8 {
					if draw(100)%3 != 0 || n == i%8 {
						list += fmt.Sprint(" n", n)
					}
				}
				a.word(list)
			}
			time.Sleep(draw(20 * time.Second))
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(i, err)
			}
		}
	})
}

func TestLogTellsWhoComesStaysAndIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		f := newFakeNet(map[string]func(net.Conn){"a": stock(&Arith{}), "b": stock(&Arith{})})
		a := announce("a", "b")
		c := fakeClient(t, f, Config{Source: a, Logger: slog.New(hookLog(func(r slog.Record) {
			r.Attrs(func(attr slog.Attr) bool {
				if attr.Key == "node" {
					log = append(log, attr.Value.String()+": "+r.Message)
				}
				return true
			})
		}))})
		allUp(t, c, 2)
		a.word("a")
		synctest.Wait()
		a.word("NXDOMAIN")
		time.Sleep(time.Minute)
		c.Close()
		synctest.Wait()
		for _, want := range []string{
			"a: rpcclient: node is announced", "b: rpcclient: node up",
			"b: rpcclient: node is no longer announced, and let go",
			"a: rpcclient: node is no longer announced, and kept while it works",
			"a: rpcclient: node is no longer announced, and let go",
		} {
			if i := slices.Index(log, want); i < 0 {
				t.Errorf("%q is not in the log: %q", want, log)
			} else {
				log = log[i:]
			}
		}
	})
}
