package member

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

func TestStatusIsOfAllMembers(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		ends := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
		ask := func(cfg *Config) {
			cfg.Ask = func(ctx context.Context, p Peer) (Answer, error) {
				switch p.Name {
				case "m2":
					return Answer{c.nodes[1].reg.Revision() - 1, ends.Add(time.Hour)}, nil
				case "m3":
					<-ctx.Done()
					return Answer{}, ctx.Err()
				}
				return Answer{Revision: c.nodes[0].reg.Revision()}, nil
			}
			cfg.CertificateEnds = func() time.Time { return ends }
		}
		first := c.start(ask)
		c.elected()
		c.start(ask)
		c.start()
		c.settled()
		first.register(t, "a1")
		time.Sleep(time.Minute)
		began := time.Now()
		s := first.member.Status(t.Context())
		if time.Since(began) > askTime {
			t.Errorf("it took %v", time.Since(began))
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`"name":"m1","writer":"m1"`, `{"name":"m1","role":"writer","revision":1001,"hook":"http://10.0.0.1:8053","address":"10.0.0.1:8054","version":"test","knows":["drain"],"certificateEnds":"2030-01-02T03:04:05Z"}`,
			`{"name":"m2","role":"follower","revision":1000,"hook":"http://10.0.0.2:8053","address":"10.0.0.2:8054","version":"test","knows":["drain"],"lag":1,"certificateEnds":"2030-01-02T04:04:05Z"}`,
			`"name":"m3","role":"follower","revision":0,"hook":"http://10.0.0.3:8053","address":"10.0.0.3:8054","version":"test","knows":["drain"],"error":"context deadline exceeded"`,
			`"etcd":{"healthy":true,`, `"nodes":[{"name":"memory"`,
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		for _, p := range c.nodes[2].member.Status(t.Context()).Members {
			if (p.Name == "m3") != (p.Error == "") {
				t.Errorf("without a way to ask: %+v", p)
			}
		}
		c.store.SetFull(true)
		time.Sleep(20 * time.Second)
		if s := first.member.Status(t.Context()); s.Store.Alarm != "NOSPACE" {
			t.Errorf("a full store: %+v", s.Store)
		}
		c.store.Stop()
		time.Sleep(20 * time.Second)
		s = first.member.Status(t.Context())
		if s.Store.Healthy || s.Store.Error == "" || s.Store.Silent < 15 || len(s.Members) == 0 {
			t.Errorf("without the store: %+v", s)
		}
	})
}

// TestMemberThatIsNotListedShowsItself: it is no candidate, and still a member.
func TestMemberThatIsNotListedShowsItself(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		c.store.Stop()
		n := c.start()
		time.Sleep(time.Second)
		defer func() {
			time.Sleep(8 * time.Second)
			if !n.log.has("this dnsd waits for it") || !n.log.has("memory memory:") || n.log.has("DNS goes on from memory") {
				t.Error("the log does not say what it waits for")
			}
		}()
		s := n.member.Status(t.Context())
		if len(s.Members) != 1 || s.Members[0].Name != "m1" || s.Members[0].Error == "" || s.Writer != "" {
			t.Errorf("%+v", s)
		}
	})
}

// TestHealth: what DNS and the load balancer are told.
func TestHealth(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		expect := func(n *node, when string, stale, writer bool, reason string) {
			t.Helper()
			h := n.member.Health()
			if h.Stale != stale || h.Writer != writer || (reason == "") != (h.Reason == "") || !strings.Contains(h.Reason, reason) {
				t.Errorf("%s, %s: %+v, want stale %t, writer %t, reason %q", n.name, when, h, stale, writer, reason)
			}
			if err := n.member.Ready(); (err == nil) != (reason == "") {
				t.Errorf("%s, %s: ready %v", n.name, when, err)
			}
		}
		first := c.prepare()
		expect(first, "before it runs", false, false, "no content yet")
		first.run()
		c.elected()
		second := c.start()
		c.settled()
		expect(first, "as usual", false, true, "")
		expect(second, "as usual", false, false, "")
		second.link.SetLink(memkv.Cut)
		time.Sleep(4 * time.Second)
		expect(second, "cut off for a short time", false, false, "")
		time.Sleep(3 * time.Second)
		expect(second, "cut off", true, false, "has not answered for")
		expect(first, "the other is cut off", false, true, "")
		second.link.SetLink(memkv.Up)
		time.Sleep(5 * time.Second)
		expect(second, "back", false, false, "")
		c.store.Stop()
		time.Sleep(8 * time.Second)
		expect(first, "without the store", true, false, "has not answered for")
		if !first.log.has("the store does not answer") {
			t.Error("that is not logged")
		}
		c.store.Start()
		time.Sleep(8 * time.Second)
		c.settled()
		for _, n := range c.nodes {
			if err := n.member.Ready(); err != nil {
				t.Errorf("%s, with the store: %v", n.name, err)
			}
		}
		if !first.log.has("the store answers again") {
			t.Error("that it is back is not logged")
		}
	})
}

// TestReadyNamesTheReason: an operator can act on it.
func TestReadyNamesTheReason(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		first := c.start()
		c.elected()
		first.register(t, "a1")
		key := under.instance(registration("a1").Key)
		first.stop()
		c.operate(put(key, "{"))
		second := c.start()
		time.Sleep(time.Second)
		err := second.member.Ready()
		var damaged *DamagedError
		if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "etcdctl del") || errors.As(err, &damaged) {
			t.Errorf("%v", err)
		}
		if len(second.member.Peers()) != 0 {
			t.Error("it is a candidate")
		}
	})
}
