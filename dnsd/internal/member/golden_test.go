package member

import (
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

var update = flag.Bool("update", false, "write the golden files")

// TestKeysAndValues: what is in the store after each step is a promise to members of other
// versions. A file of testdata has the keys and values, and what the last step changed.
func TestKeysAndValues(t *testing.T) {
	got := &txtar.Archive{Comment: []byte("What is in the store after each step. Written by go test -run TestKeysAndValues -update.\n")}
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		n := c.start(func(cfg *Config) { cfg.Settings = map[string]string{"ttl": "5s"} })
		c.elected()
		before := map[string]string{}
		step := func(name string, do func() error) {
			t.Helper()
			time.Sleep(time.Second)
			if err := do(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got.Files = append(got.Files, txtar.File{Name: name, Data: []byte(c.difference(before))})
		}
		key := registration("a1").Key
		step("the first member", func() error { time.Sleep(2 * time.Second); return nil })
		step("a registration", func() error {
			in := registration("a1")
			in.Meta, in.Incarnation = map[string]string{"path": "/x"}, 7
			_, err := n.reg.Register(t.Context(), in)
			return err
		})
		step("a drain", func() error { _, err := n.reg.Drain(t.Context(), key, true); return err })
		step("a removal", func() error { _, err := n.reg.Deregister(t.Context(), key, nil); return err })
		step("the same instance again", func() error {
			in := registration("a1")
			in.Incarnation = 8
			_, err := n.reg.Register(t.Context(), in)
			return err
		})
		step("an instance that drains itself", func() error {
			in := registration("a1")
			in.Incarnation, in.Drain = 8, true
			_, err := n.reg.Register(t.Context(), in)
			return err
		})
		step("a revision that is skipped", func() error { _, err := n.reg.Skip(t.Context()); return err })
		step("a removal from a full store", func() error {
			c.store.SetFull(true)
			_, err := n.reg.Deregister(t.Context(), key, nil)
			return err
		})
		step("space again", func() error { c.store.SetFull(false); time.Sleep(40 * time.Second); return nil })
		step("another member", func() error { c.start(); time.Sleep(time.Second); return nil })
		step("the first one stops", func() error { defer time.Sleep(3 * time.Second); return n.stop() })
	})
	path := filepath.Join("testdata", "store.txtar")
	if *update {
		if err := os.WriteFile(path, txtar.Format(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := string(txtar.Format(got)), string(txtar.Format(want)); a != b {
		t.Errorf("the store has\n%s\nwant\n%s", a, b)
	}
}

// random are the parts of values that differ in each run.
var random = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`"life":"[0-9a-f]{16}"`), `"life":"LIFE"`},
	{regexp.MustCompile(`"member":"[0-9a-f]+"`), `"member":"SESSION"`},
	{regexp.MustCompile(`/member/[0-9a-f]+`), `/member/SESSION`},
	{regexp.MustCompile(`"time":"2000-01-01T00:0\d:\d\dZ"`), `"time":"TIME"`},
}

// difference is the lines of what has changed since before, which it brings up to date.
func (c *cluster) difference(before map[string]string) string {
	c.t.Helper()
	now := map[string]string{}
	var b strings.Builder
	line := func(sign, key, value string) {
		text := sign + strings.TrimSuffix(key+" "+value, " ") + "\n"
		for _, r := range random {
			text = r.what.ReplaceAllString(text, r.with)
		}
		b.WriteString(text)
	}
	spares := 0
	if _, err := c.store.Open("reader").Range(context.Background(), under.prefix, 0, func(p kv.Pair) error {
		now[p.Key] = string(p.Value)
		switch _, known := before[p.Key]; {
		case known && before[p.Key] == string(p.Value):
		case strings.HasPrefix(p.Key, under.spares()):
			spares++
			if spares == 1 {
				line("+ ", p.Key, string(p.Value))
			}
		default:
			line("+ ", p.Key, string(p.Value))
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	if spares > 1 {
		b.WriteString("+ and more spare keys\n")
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, ok := now[key]; !ok {
			line("- ", key, "")
		}
		delete(before, key)
	}
	maps.Copy(before, now)
	return b.String()
}

// TestOldValuesAreRead: a store that an earlier version has written can be loaded.
func TestOldValuesAreRead(t *testing.T) {
	ar, err := txtar.ParseFile(filepath.Join("testdata", "store.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	store := map[string]string{}
	loads := 0
	for _, f := range ar.Files {
		for line := range strings.Lines(string(f.Data)) {
			line = strings.TrimSuffix(line, "\n")
			key, value, _ := strings.Cut(line[2:], " ")
			switch {
			case strings.HasPrefix(key, under.members()): // it has a lease
			case strings.HasPrefix(line, "+ /"):
				value = strings.ReplaceAll(value, "LIFE", "9f86d081884c7d65")
				store[key] = strings.ReplaceAll(value, "TIME", "2000-01-01T00:00:00Z")
			case line == "+ and more spare keys":
				for i := range mostSpares {
					store[under.spare(i)] = "{}"
				}
			case strings.HasPrefix(line, "- "):
				delete(store, key)
			}
		}
		c := memkv.New(memkv.Config{})
		s := c.Open("old")
		for key, value := range store {
			mustTxn(t, s, put(key, value))
		}
		l, err := load(t.Context(), s, under)
		if err != nil || len(l.problems) > 0 {
			t.Fatalf("%s: %v, %v", f.Name, err, l.problems)
		}
		r, err := registry.Open(registry.Config{Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		if l.head != nil {
			loads++
			if err := r.Reset(l.content()); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
		}
		r.Close()
	}
	if loads < 8 {
		t.Errorf("%d steps had a head", loads)
	}
}
