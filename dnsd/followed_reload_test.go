package dnsd

import (
	"fmt"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestAReloadToLowerRevisionsReachesAClientThatFollows: this dnsd is far ahead with a store of
// its own, and goes on with a shared store whose revisions are lower. A client that follows it
// live ends with what the shared store has, and follows on.
func TestAReloadToLowerRevisionsReachesAClientThatFollows(t *testing.T) {
	t.Parallel() // it waits for pauses
	stores := newInMemory()
	there := begin(t, Config{Zones: []Zone{oneOf("b")}, Stores: stores})
	awaitReady(t, there)
	put(t, there.Server, "both", bodyOf(9001))
	put(t, there.Server, "theirs", bodyOf(9002))

	shared := oneOf("a")
	own := shared // at the same addresses
	own.Store = Store{Kind: "memory"}
	s := begin(t, Config{Zones: []Zone{own}, Stores: stores})
	before := s.blocks[0].reg.part
	burst(t, before, 1000)
	for i := range 1000 {
		if _, err := before.Deregister(t.Context(), registry.Key{Service: "_math._tcp", ID: fmt.Sprint("a", i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s.Server, "both", bodyOf(9101))
	put(t, s.Server, "ours", bodyOf(9102))
	f := followMath(t, s.DNSAddr().String())
	has := func(want ...string) {
		t.Helper()
		eventually(t, func() string { return differ("the client", f.content(), want) })
	}
	follows := func() {
		t.Helper()
		eventually(t, func() string {
			if fresh := f.r.Freshness("_math._tcp.svc."); fresh.By != "push" {
				return fmt.Sprintf("the client is kept fresh by %q", fresh.By)
			}
			return ""
		})
	}
	has("both:9101", "ours:9102")
	follows()

	if err := s.Reload(Config{Zones: []Zone{shared}, Stores: stores}); err != nil {
		t.Fatal(err)
	}
	if now, was := s.blocks[0].reg.part.Revision(), before.Revision(); now >= was {
		t.Fatalf("revision %d after %d: it has not fallen, and this test tests nothing", now, was)
	}
	has("both:9001", "ours:9102", "theirs:9002")
	follows()
	put(t, there.Server, "more", bodyOf(9003)) // and it goes on
	has("both:9001", "more:9003", "ours:9102", "theirs:9002")
	if fresh := f.r.Freshness("_math._tcp.svc."); fresh.By != "push" || fresh.Revision >= before.Revision() {
		t.Errorf("in the end: %+v, and the store before had revision %d", fresh, before.Revision())
	}
}
