package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// TestDamagedValues: a damaged instance is never left out. What else is damaged is told.
func TestDamagedValues(t *testing.T) {
	record := string(encode(registry.NewRecord(instance("a1", 2))))
	key := under.instance(instance("a1", 2).Key)
	for name, c := range map[string]struct {
		key, value string
		fatal      string // a word of the error; "": it is only a problem
	}{
		"an instance that is no JSON":     {key, "{", "delete the key"},
		"an instance that is empty":       {key, "", "delete the key"},
		"an instance of another key":      {under.instance(registry.Key{Service: "_math._tcp", ID: "a9"}), record, "is of _math._tcp/a1"},
		"an instance without a port":      {key, strings.Replace(record, "9001", "0", 1), "port"},
		"an instance with a bad host":     {key, strings.Replace(record, "10.0.0.7", "10.0.0.700", 1), "host"},
		"a key that is no instance":       {under.prefix + "/i/_math._tcp", record, "_math._tcp"},
		"a key with an upper case letter": {under.prefix + "/i/_math._tcp/A1", record, "A1"},
		"a head that is no JSON":          {under.head(), "{", "backup"},
		"a head of a newer dnsd":          {under.head(), `{"format":2,"all":"new"}`, "update this one"},
		"a head without a life":           {under.head(), `{"format":1,"revision":7}`, "no life"},
		"a head that goes back":           {under.head(), `{"format":1,"life":"9f86d081884c7d65","revision":7,"batch":{"from":9}}`, "back to 7"},
		"a head with a wrong count":       {under.head(), `{"format":1,"life":"9f86d081884c7d65","revision":7,"batch":{"from":6,"changes":[{},{}]}}`, "2 changes"},
		"a meta of a newer dnsd":          {under.meta(), `{"format":2}`, "update this one"},
		"a meta without a zone":           {under.meta(), `{"format":1}`, "no zone"},
		"a fence that is no JSON":         {under.fence(instance("a1", 2).Key), "{", ""},
		"a fence that says nothing":       {under.fence(instance("a1", 2).Key), `{"service":"_math._tcp","id":"a1"}`, ""},
		"a spare key without a number":    {under.spares() + "x", "{}", ""},
	} {
		cluster := memkv.New(memkv.Config{})
		s := cluster.Open("a")
		j := lives(t, s)
		if err := j.Commit(puts(1, "a1")); err != nil {
			t.Fatal(err)
		}
		mustTxn(t, s, kv.Op{Key: c.key, Value: []byte(c.value)})
		l, err := load(t.Context(), s, under)
		var damaged *DamagedError
		switch {
		case c.fatal == "" && (err != nil || len(l.problems) != 1 || !errors.As(l.problems[0], &damaged) || damaged.Key != c.key):
			t.Errorf("%s: %v, %+v", name, err, l)
		case c.fatal != "" && (!errors.As(err, &damaged) || damaged.Key != c.key || damaged.Cure == "" || !strings.Contains(err.Error(), c.fatal)):
			t.Errorf("%s: %v, want the key and %q", name, err, c.fatal)
		}
	}
}

// TestOtherKeysAreLeftAlone: the prefix may have more in it.
func TestOtherKeysAreLeftAlone(t *testing.T) {
	c := memkv.New(memkv.Config{})
	s := c.Open("a")
	lives(t, s)
	for _, k := range []string{under.prefix + "/note", under.prefix + "/x/y", under.prefix + "0", under.prefix + "/"} {
		mustTxn(t, s, kv.Op{Key: k, Value: []byte("?")})
	}
	if l := whole(t, c); len(l.problems) != 0 || l.pos.revision != 1 {
		t.Errorf("%+v", l)
	}
}

// TestMemberThatCannotBeReadIsAMember: it may be the writer.
func TestMemberThatCannotBeReadIsAMember(t *testing.T) {
	c := memkv.New(memkv.Config{})
	s := c.Open("a")
	lives(t, s)
	mustTxn(t, s, kv.Op{Key: under.member("b"), Value: []byte("?"), Lease: leaseOf(t, s)})
	mustTxn(t, s, kv.Op{Key: under.member("c"), Value: []byte(`{"name":"` + strings.Repeat("c", longestText+1) + `"}`), Lease: leaseOf(t, s)})
	l := whole(t, c)
	if len(l.peers) != 3 || l.peers[under.member("b")].created == 0 || l.peers[under.member("a")].Name != "a" {
		t.Errorf("%+v", l.peers)
	}
}

// TestLoadIsInOrder: as the registry wants it, whatever the order of the store's keys.
func TestLoadIsInOrder(t *testing.T) {
	c := memkv.New(memkv.Config{})
	j := lives(t, c.Open("a"))
	var b registry.Batch
	for i, k := range []registry.Key{{Service: "_b._tcp", ID: "a"}, {Service: "_a-b._tcp", ID: "a"}, {Service: "_a._udp", ID: "a-1"}, {Service: "_a._udp", ID: "a"}, {Service: "_a._tcp", ID: "a0"}} {
		in := instance("x", uint64(i)+2)
		in.Key = k
		b.Changes = append(b.Changes, registry.Change{Revision: in.Revision, Time: someTime, New: in})
		b.Fences = append(b.Fences, registry.Fence{Key: registry.Key{Service: "_f._tcp", ID: fmt.Sprint("f", i)}, Drained: true, Time: someTime.Add(-time.Duration(i))})
	}
	b.Revision = 6
	if err := j.Commit(&b); err != nil {
		t.Fatal(err)
	}
	l := whole(t, c)
	if !slices.IsSortedFunc(l.instances, func(a, b *registry.Instance) int { return a.Key.Compare(b.Key) }) || len(l.instances) != 5 {
		t.Errorf("instances %v", l.registered())
	}
	if !slices.IsSortedFunc(l.fences, func(a, b registry.Fence) int { return a.Time.Compare(b.Time) }) || len(l.fences) != 5 {
		t.Errorf("fences %v", l.fences)
	}
	r, err := registry.Open(registry.Config{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Reset(l.content()); err != nil || r.Revision() != 6 || r.Life() != l.pos.life {
		t.Errorf("the registry: %v", err)
	}
}

// TestLoadFromASilentStoreEnds: every wait is bounded.
func TestLoadFromASilentStoreEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memkv.New(memkv.Config{}).Open("a")
		s.SetLink(memkv.Hang)
		began := time.Now()
		if _, err := load(t.Context(), s, under); err == nil || time.Since(began) > 2*silence {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// BenchmarkLoad loads many instances, ten of each service, into a registry. "B/instance"
// is what stays in memory.
func BenchmarkLoad(b *testing.B) {
	sizes := []int{1_000, 100_000}
	if os.Getenv("ROLLCALL_BENCH_MILLION") == "1" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			s := filled(b, n)
			b.ReportAllocs()
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				l, err := load(context.Background(), s, under)
				if err != nil {
					b.Fatal(err)
				}
				r, err := registry.Open(registry.Config{Follow: true})
				if err != nil {
					b.Fatal(err)
				}
				if err := r.Reset(l.content()); err != nil || r.Stats().Instances != n {
					b.Fatal(err)
				}
				l = nil
				runtime.GC()
				runtime.ReadMemStats(&after)
				r.Close()
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/instance")
		})
	}
}

// filled is a store with n instances.
func filled(b *testing.B, n int) kv.Store {
	b.Helper()
	c := memkv.New(memkv.Config{Limits: kv.Limits{Ops: 10_001, Bytes: 64 << 20}, History: 1})
	s := c.Open("a")
	lives(b, s)
	for first := 0; first < n; first += 10_000 {
		var ops []kv.Op
		for i := first; i < min(first+10_000, n); i++ {
			in := instance(fmt.Sprintf("a%d", i), 1)
			in.Service = fmt.Sprintf("_s%d._tcp", i/10)
			in.Host = fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
			ops = append(ops, kv.Op{Key: under.instance(in.Key), Value: encode(registry.NewRecord(in))})
		}
		mustTxn(b, s, ops...)
	}
	return s
}

// BenchmarkCommit commits batches of changes.
func BenchmarkCommit(b *testing.B) {
	for _, changes := range []int{1, 64} {
		b.Run(fmt.Sprintf("changes=%d", changes), func(b *testing.B) {
			c := memkv.New(memkv.Config{History: 1})
			j := lives(b, c.Open("a"))
			all := ids(changes)
			b.ReportAllocs()
			for b.Loop() {
				if err := j.Commit(puts(j.pos.revision, all...)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(changes*b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}
