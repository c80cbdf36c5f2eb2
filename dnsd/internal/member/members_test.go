package member

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// TestSameNameIsWarnedOf: another member with the name of this one is a mistake. The key of
// this one, which may be seen before its transaction has returned, is not.
func TestSameNameIsWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newCluster(t, memkv.Config{}).prepare()
		defer n.reg.Close()
		appears := func(session string, p Peer) {
			t.Helper()
			e := kv.Event{Pair: kv.Pair{Key: under.member(session), Value: encode(p), Created: 5, Modified: 5, Lease: 1}}
			if err := n.member.applyPeers(group{revision: 5, peers: []kv.Event{e}}); err != nil {
				t.Fatal(err)
			}
		}
		const warning = "another member has the name of this one"
		appears("1", Peer{Name: n.name, Address: n.member.cfg.Address, Certificate: n.member.cfg.Certificate})
		if strings.Contains(n.log.String(), warning) {
			t.Errorf("it takes itself for another: %s", n.log)
		}
		appears("2", Peer{Name: n.name, Address: "10.0.0.9:8054", Certificate: strings.Repeat("9", 64)})
		if !strings.Contains(n.log.String(), warning) {
			t.Errorf("no warning: %s", n.log)
		}
	})
}

// TestMemberSaysWhatItHasFound: each says at its start which others are there, so that a
// wrong prefix is seen. One that has the name of another says so, too, if it has another
// address: with the same, it is the next process.
func TestMemberSaysWhatItHasFound(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		const warning = "another member has the name of this one"
		first, second := c.two()
		if want := "prefix=" + first.member.cfg.Prefix + " name=" + first.name + ` others=""`; !first.log.has(want) {
			t.Errorf("want %s: %s", want, first.log)
		}
		if want := "name=" + second.name + " others=" + first.name; !second.log.has(want) || second.log.has(warning) {
			t.Errorf("want %s, and no warning: %s", want, second.log)
		}
		third := c.start(func(cfg *Config) { cfg.Name, cfg.Address = first.name, "10.0.0.99:8054" })
		time.Sleep(time.Second)
		if !third.log.has(warning) || !third.log.has("others="+second.name) {
			t.Errorf("the third has the name of the first: %s", third.log)
		}
		if n := third.log.count("has read the store"); n != 1 {
			t.Errorf("it says %d times what it has read", n)
		}
	})
}

// TestMemberKeysWithoutALease: a key that was put by hand, or copied from another store, is
// no member, wherever it is met. Else no member could ever lead.
func TestMemberKeysWithoutALease(t *testing.T) {
	inBubble(t, memkv.Config{}, func(t *testing.T, c *cluster) {
		forged := kv.Op{Key: under.member("1"), Value: encode(Peer{Name: "x", Address: "10.0.0.9:8054"})}
		c.operate(forged, kv.Op{Key: under.member("2"), Value: []byte("[")})
		for i := range 50 {
			c.operate(kv.Op{Key: under.member("3" + strconv.Itoa(i)), Value: forged.Value})
		}
		first := c.start()
		c.elected()
		first.register(t, "a1")
		if !first.log.has("has no lease") {
			t.Errorf("it is not told: %s", first.log)
		}
		if n := first.log.count("cannot be read"); n > 2*(mostTold+1) {
			t.Errorf("%d lines about 52 values", n)
		}
		second := c.start()
		c.settled()
		c.operate(kv.Op{Key: under.member("0"), Value: forged.Value})
		time.Sleep(time.Second)
		for _, n := range c.nodes {
			if peers := n.member.Peers(); len(peers) != 2 {
				t.Errorf("%s has members %+v", n.name, peers)
			}
		}
		for key := range keysOf(t, c.store) {
			if own := first.member.session.now(); own != nil && key == own.key {
				c.operate(kv.Op{Key: key, Value: forged.Value}) // its lease is taken away
			}
		}
		time.Sleep(30 * time.Second)
		c.elected().register(t, "a2")
		c.settled()
		if !second.has("a2") {
			t.Error("the other member does not follow")
		}
	})
}

// slowAnswers is a store whose transactions are done at once and answered later.
type slowAnswers struct{ kv.Store }

func (s slowAnswers) Txn(ctx context.Context, t kv.Txn) (kv.Result, error) {
	r, err := s.Store.Txn(ctx, t)
	sleep(ctx, 100*time.Millisecond)
	return r, err
}

// TestMemberKnowsItsKey: a watch may deliver the key of a member before the store answers
// that it is there. The member must not take it for the key of another, which would be
// asked to write.
func TestMemberKnowsItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, memkv.Config{})
		defer c.close()
		n := c.prepare(func(cfg *Config) { cfg.Store = slowAnswers{cfg.Store} })
		n.run()
		listed := false
		for !n.reg.Leads() {
			<-n.member.Changed()
			for _, p := range n.member.Peers() {
				listed = listed || n.member.session.now() == nil
				if !p.Self {
					t.Errorf("it takes itself for another: %+v", p)
				}
			}
		}
		if !listed {
			t.Error("no key was listed before the store had answered")
		}
	})
}
