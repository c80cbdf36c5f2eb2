package member

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

func put(key, value string) kv.Op { return kv.Op{Key: key, Value: []byte(value)} }

// TestPrefixOfAnother: one clear error, and nothing is overwritten.
func TestPrefixOfAnother(t *testing.T) {
	for name, c := range map[string]struct {
		ops  []kv.Op
		word string // "": the prefix is ours
	}{
		"empty":               {nil, ""},
		"ours":                {[]kv.Op{put(under.meta(), `{"format":1,"zone":"svc."}`)}, ""},
		"of another zone":     {[]kv.Op{put(under.meta(), `{"format":1,"zone":"other."}`)}, "the zone other., and this is svc."},
		"of a newer dnsd":     {[]kv.Op{put(under.meta(), `{"format":2,"zone":"svc."}`)}, "update this one"},
		"with a head that is": {[]kv.Op{put(under.head(), `{"format":7}`)}, "format 7"},
		"damaged":             {[]kv.Op{put(under.meta(), `{`)}, ""}, // Run says so, and serves on
	} {
		inBubble(t, memkv.Config{}, func(t *testing.T, cl *cluster) {
			if c.ops != nil {
				cl.operate(c.ops...)
			}
			n := cl.prepare()
			err := n.member.Verify(t.Context())
			var foreign *ForeignError
			if (c.word == "") != (err == nil) || c.word != "" && (!errors.As(err, &foreign) || !strings.Contains(err.Error(), c.word) || !strings.Contains(err.Error(), under.prefix)) {
				t.Errorf("%s: %v", name, err)
			}
			n.run()
			time.Sleep(20 * time.Second)
			l, err := load(t.Context(), cl.store.Open("reader"), under)
			if c.word != "" && (err == nil && l.head != nil || n.reg.Loaded()) {
				t.Errorf("%s: it went on", name)
			}
		})
	}
}

func TestVerifyWithoutTheStore(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		n := c.prepare()
		defer n.stop()
		n.run()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		n.link.SetLink(memkv.Hang)
		if err := n.member.Verify(ctx); err != nil {
			t.Errorf("it does not answer: %v", err)
		}
		n.link.SetLink(memkv.Deny)
		if err := n.member.Verify(t.Context()); !errors.Is(err, kv.ErrDenied) {
			t.Errorf("denied: %v", err)
		}
	})
}

// TestOtherZoneEndsRun: two zones that begin on one prefix at the same time.
func TestOtherZoneEndsRun(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		second := c.start(func(cfg *Config) { cfg.Zone = "other." })
		c.elected()
		time.Sleep(5 * time.Second)
		var wrong, right *node = second, first
		if second.reg.Leads() {
			wrong, right = first, second
		}
		var foreign *ForeignError
		select {
		case err := <-wrong.done:
			if !errors.As(err, &foreign) {
				t.Errorf("Run: %v", err)
			}
			wrong.done <- nil
		default:
			t.Error("both run")
		}
		if len(right.member.Peers()) != 1 {
			t.Errorf("members %v", right.member.Peers())
		}
	})
}

// TestSettingsThatDifferAreTold: by whoever has others than the writer, and no more when
// they are equal.
func TestSettingsThatDifferAreTold(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		with := func(ttl string) func(*Config) {
			return func(cfg *Config) { cfg.Settings = map[string]string{"ttl": ttl, "ns": "a"} }
		}
		const words = `settings=ttl`
		first := c.start(with("5s"))
		c.elected()
		second, third := c.start(with("5s")), c.start(with("6s"))
		c.settled()
		time.Sleep(3 * time.Second)
		if first.log.has(words) || second.log.has(words) || !third.log.has(words) {
			t.Errorf("told by %t %t %t", first.log.has(words), second.log.has(words), third.log.has(words))
		}
		first.member.Update(map[string]string{"ttl": "6s", "ns": "a"})
		second.member.Update(map[string]string{"ttl": "6s", "ns": "a"})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if first.log.has(words) || second.log.has(words) {
			t.Errorf("after an update of both\n%s\n%s", first.log, second.log)
		}
		l := whole(t, c.store)
		if l.meta.Settings["ttl"] != "6s" || l.meta.Zone != "svc." {
			t.Errorf("the store has %+v", l.meta)
		}
		fourth := c.start(with("6s"))
		c.settled()
		if fourth.log.has(words) {
			t.Errorf("told\n%s", fourth.log)
		}
	})
}
