package member

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// someContent is content with everything in it.
func someContent() registry.Content {
	drained := instance("a2", 8)
	drained.State, drained.Sticky, drained.Meta = registry.Drained, true, map[string]string{"path": "/x\n\u2028"}
	return registry.Content{Life: 0x9f86d081884c7d65, Snapshot: registry.Snapshot{
		Revision:  9,
		Instances: yieldAll([]*registry.Instance{instance("a1", 7), drained}),
		Fences:    yieldAll([]registry.Fence{{Key: registry.Key{Service: "_math._tcp", ID: "a0"}, Incarnation: 3, Drained: true, Time: someTime}}),
	}}
}

func TestCopyIsReadAsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "svc.copy")
	for range 2 { // the second replaces the first
		if err := writeCopy(path, "svc.", "/p", someContent()); err != nil {
			t.Fatal(err)
		}
	}
	c, written, err := readCopy(path, "svc.", "/p")
	if err != nil || c.Life != 0x9f86d081884c7d65 || c.Revision != 9 || time.Since(written) > time.Hour {
		t.Fatalf("%+v, %v, %v", c, written, err)
	}
	if got, want := contentText(c), contentText(someContent()); got != want {
		t.Errorf("instances\n%s\nwant\n%s", got, want)
	}
	if got, want := fencesText(c), fencesText(someContent()); got != want {
		t.Errorf("fences %s, want %s", got, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others can read it: %v, %v", info.Mode(), err)
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("beside it is %v, %v", all, err)
	}
	for _, other := range [][2]string{{"other.", "/p"}, {"svc.", "/q"}} {
		if _, _, err := readCopy(path, other[0], other[1]); err == nil || !strings.Contains(err.Error(), "is of zone svc.") {
			t.Errorf("of %v: %v", other, err)
		}
	}
}

// TestDamagedCopyIsRefused: every octet is covered by the checksum or the format.
func TestDamagedCopyIsRefused(t *testing.T) {
	var b bytes.Buffer
	if err := encodeCopy(&b, "svc.", "/p", someContent()); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, _, err := decodeCopy(bytes.NewReader(bad)); err == nil && i < len(good)-1 {
			t.Fatalf("octet %d of %d was changed, and not noticed", i, len(good))
		}
		if _, _, err := decodeCopy(bytes.NewReader(good[:i])); err == nil && i < len(good)-1 {
			t.Fatalf("cut off after %d of %d octets, and not noticed", i, len(good))
		}
	}
	if _, _, err := decodeCopy(io.MultiReader(bytes.NewReader(good), strings.NewReader("more\n"))); err == nil {
		t.Error("more after the end was not noticed")
	}
}

func FuzzCopy(f *testing.F) {
	var b bytes.Buffer
	if err := encodeCopy(&b, "svc.", "/p", someContent()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		c, h, err := decodeCopy(bytes.NewReader(text))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := encodeCopy(&again, h.Zone, h.Prefix, c); err != nil {
			t.Fatal(err)
		}
		if d, _, err := decodeCopy(&again); err != nil || contentText(c) != contentText(d) {
			t.Errorf("again: %v", err)
		}
	})
}

// TestStartWithoutTheStore: the copy is served, marked as stale, and gives way to the
// store. It is never written over the store.
func TestStartWithoutTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.copy")
	withCopy := func(cfg *Config) { cfg.Copy = path }
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start(withCopy)
		c.elected()
		first.register(t, "a1")
		time.Sleep(3 * time.Second)
		first.stop()
		life, revision := first.reg.Life(), first.reg.Revision()

		c.store.Stop()
		second := c.start(withCopy)
		time.Sleep(patienceAtStart - time.Millisecond)
		if second.reg.Loaded() || second.member.Health().Loaded {
			t.Error("it does not wait for the store")
		}
		time.Sleep(time.Second)
		h := second.member.Health()
		if !second.has("a1") || !h.Loaded || !h.Stale || second.member.Ready() == nil || second.reg.Life() != life || second.reg.Revision() != revision {
			t.Errorf("from the copy: a1 %t, health %+v", second.has("a1"), h)
		}
		time.Sleep(time.Hour)
		if !second.has("a1") {
			t.Error("a lease ended without the store")
		}
		c.store.Start()
		w := c.settled()
		if h := w.member.Health(); h.Stale || w.member.Ready() != nil {
			t.Errorf("with the store: %+v", h)
		}
		w.register(t, "a2")
		c.stored(w)
	})
}

// TestCopyThatKnowsMoreThanTheStore: the store was restored while no dnsd ran, twice from
// the same state. What it has counts, and revisions continue above those of the copy.
func TestCopyThatKnowsMoreThanTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.copy")
	withCopy := func(cfg *Config) { cfg.Copy = path }
	for _, away := range []bool{false, true} {
		inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
			all := newChronicle()
			w := all.record(t, c.start(withCopy))
			c.elected()
			copied := c.store.Snapshot()
			for range 3 {
				w.register(t, "a1")
				w.register(t, "a2")
				all.note(t, w)
				was := w.reg.Revision()
				w.kill() // within a second
				c.store.Restore(copied, 0)
				if away {
					c.store.Stop()
				}
				next := c.prepare(withCopy)
				all.record(t, next).run()
				if away {
					time.Sleep(10 * time.Second)
					c.store.Start()
				}
				w = c.settled()
				if w.has("a1") || w.reg.Revision() <= was {
					t.Errorf("away %t: a1 is there: %t, at %d after %d", away, w.has("a1"), w.reg.Revision(), was)
				}
				w.register(t, "a3")
				all.note(t, w)
				c.stored(w)
			}
		})
	}
}

// TestCopyThatCannotBeUsed: that is said, and the store is waited for.
func TestCopyThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		text, word string
	}{
		"none":    {"", "there is no local copy"},
		"damaged": {copyFormat + "\n{}\n", "cannot be used"},
	} {
		path := filepath.Join(t.TempDir(), "svc.copy")
		if c.text != "" {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		inBubble(t, memkv.Config{}, func(t *testing.T, cl *cluster) {
			cl.store.Stop()
			n := cl.start(func(cfg *Config) { cfg.Copy = path })
			time.Sleep(5 * time.Second)
			if n.reg.Loaded() || !n.log.has(c.word) || n.member.Ready() == nil {
				t.Errorf("%s: loaded %t\n%s", name, n.reg.Loaded(), n.log)
			}
			cl.store.Start()
			cl.elected().register(t, "a1")
		})
	}
}

// TestReloadDoesNotServeTheCopy: what was served before goes on, and the log does not say
// that DNS fails.
func TestReloadDoesNotServeTheCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.copy")
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start(func(cfg *Config) { cfg.Copy = path })
		c.elected().register(t, "a1")
		time.Sleep(3 * time.Second)
		first.stop()
		for name, p := range map[string]string{"with a copy": path, "without": path + ".none"} {
			c.store.Stop()
			n := c.start(func(cfg *Config) { cfg.Copy, cfg.Reload = p, true })
			time.Sleep(20 * time.Second)
			if n.reg.Loaded() || n.log.has("SERVFAIL") || !n.log.has("what was served before is served on") {
				t.Errorf("%s: loaded %t\n%s", name, n.reg.Loaded(), n.log)
			}
			c.store.Start()
			c.settled()
			if !n.has("a1") {
				t.Errorf("%s: it has nothing when the store is back", name)
			}
			n.stop()
		}
	})
}

// TestCopyThatCannotBeWritten is said once.
func TestCopyThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		n := c.start(func(cfg *Config) { cfg.Copy = filepath.Join(dir, "file", "svc.copy") })
		c.elected()
		time.Sleep(time.Minute)
		if got := strings.Count(n.log.String(), "cannot write the local copy"); got != 1 {
			t.Errorf("said %d times", got)
		}
	})
	if err := encodeCopy(failingWriter{}, "svc.", "/p", someContent()); err == nil {
		t.Error("a writer that fails is not noticed")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// halfStore is a store that answers, but whose keys cannot be read in a row.
type halfStore struct{ kv.Store }

func half(s kv.Store) kv.Store { return halfStore{s} }

func (halfStore) Range(context.Context, string, int64, func(kv.Pair) error) (kv.Header, error) {
	return kv.Header{}, kv.ErrUnavailable
}

// TestCopyIsServedWhenTheStoreBreaksOff: it is served whenever nothing comes from the
// store, whatever the store has said before.
func TestCopyIsServedWhenTheStoreBreaksOff(t *testing.T) {
	key := under.instance(registration("a1").Key)
	for _, test := range []struct {
		name   string
		before func(*cluster)          // before the member starts
		store  func(kv.Store) kv.Store // that it has
		after  func(*cluster)          // a second later
		why    string                  // what its Health says; "": the store is followed
	}{
		{"it answers, and then not", nil, half, func(c *cluster) { c.store.Stop() }, "has not answered"},
		{"its keys cannot be read", nil, half, nil, "from its local copy"},
		{"a value in it is damaged", func(c *cluster) { c.operate(put(key, "{")) }, nil, nil, key},
		{"it does not answer at all", func(c *cluster) { c.store.Stop() }, nil, nil, "has not answered"},
		{"it is empty", func(c *cluster) { c.wipe() }, nil, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "svc.copy")
			inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
				first := c.start(func(cfg *Config) { cfg.Copy = path })
				c.elected()
				first.register(t, "a1")
				time.Sleep(3 * time.Second)
				first.stop()
				if test.before != nil {
					test.before(c)
				}
				second := c.start(func(cfg *Config) {
					cfg.Copy = path
					if test.store != nil {
						cfg.Store = test.store(cfg.Store)
					}
				})
				time.Sleep(time.Second)
				if test.after != nil {
					test.after(c)
				}
				time.Sleep(10 * time.Second)
				h := second.member.Health()
				if test.why == "" {
					if h.Stale || h.Reason != "" || !h.Writer {
						t.Errorf("%+v", h)
					}
					return
				}
				if !second.has("a1") || !h.Stale || !strings.Contains(h.Reason, test.why) {
					t.Errorf("a1 is served: %t, %+v", second.has("a1"), h)
				}
			})
		})
	}
}

// TestUnfinishedCopiesAreRemoved: a process that was killed while it wrote one left it.
func TestUnfinishedCopiesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "svc.copy")
	for _, name := range []string{"svc.copy.new-123", "svc.copy.new-4", "svc.copy.news", "other.copy.new-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		c.start(func(cfg *Config) { cfg.Copy = path })
		c.elected()
		time.Sleep(10 * time.Second)
	})
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range all {
		names = append(names, f.Name())
	}
	if got := strings.Join(names, " "); got != "other.copy.new-1 svc.copy svc.copy.news" {
		t.Error(got)
	}
}
