package member

import (
	"strings"
	"testing"
	"testing/synctest"

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
			e := kv.Event{Pair: kv.Pair{Key: under.member(session), Value: encode(p), Created: 5, Modified: 5}}
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
