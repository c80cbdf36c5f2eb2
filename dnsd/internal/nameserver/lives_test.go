package nameserver

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// TestSecondariesFollowThroughLives: NSD, Knot and BIND follow a primary that is
// killed again and again, whose changes are faster than any clock counts, whose store
// is lost or restored from an old copy, and whose clock goes back. At the end, and in
// between whenever it does not change, they hold what it holds.
func TestSecondariesFollowThroughLives(t *testing.T) {
	needPeers(t)
	addrs, to := peerAddrs(t)
	primary := freeaddr.Take(1)[0]
	dir := t.TempDir()
	db := filepath.Join(dir, "svc.db")
	rnd := rand.New(rand.NewPCG(5, 6))
	wall := time.Now()
	var peers []peer
	var serial uint32
	save := func() []byte {
		data, err := os.ReadFile(db)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var old, now []byte // the file of some earlier life, and as the last kill left it
	const lives = 20
	all := t // the peers run until its end
	for life := range lives {
		t.Run(fmt.Sprintf("life=%d", life), func(t *testing.T) {
			store, err := boltstore.Open(db)
			if err != nil {
				t.Fatal(err)
			}
			r, err := registry.Open(registry.Config{Backend: store, Ceiling: filepath.Join(dir, "svc.ceiling"), Revision: registry.ByClock(wall)})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			z := testZone(t)
			r.Attach(z)
			if life > 0 && int32(z.Serial()-serial) <= 0 {
				t.Fatalf("begins at serial %d, %d was given out", z.Serial(), serial)
			}
			start(t, Config{Addrs: []string{primary.String()}, Zones: []Zone{{Zone: z, TSIG: testKeys, Transfer: append(slices.Clone(to), Secondary{Prefix: loopback})}}})
			if peers == nil {
				peers = startPeers(all, primary, addrs)
			}
			registerMany(t, r, rnd.Uint64(), 20+rnd.IntN(300))
			if life == lives-1 || rnd.IntN(2) == 0 {
				want := contents(z)
				for _, p := range peers {
					p.waitSerial(t, z.Serial())
					if got := p.contents(t, z.Serial()); !slices.Equal(got, want) {
						t.Errorf("%s holds %d records, dnsd %d:\n%s", p.name, len(got), len(want), differing(got, want))
					}
				}
				registerMany(t, r, rnd.Uint64(), rnd.IntN(300)) // what some of them may see
			}
			serial, now = z.Serial(), save()
		})
		if t.Failed() {
			return
		}
		switch rnd.IntN(4) {
		case 0: // an old copy is restored
			if old != nil {
				now, old = old, now
			}
		case 1: // the file is lost, or the store was in memory
			old, now = now, nil
		default:
			old = now
		}
		if err := os.Remove(db); err != nil {
			t.Fatal(err)
		}
		if now != nil {
			if err := os.WriteFile(db, now, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		wall = wall.Add(time.Duration(rnd.IntN(200)-100) * time.Hour)
	}
}

// registerMany makes changes from many goroutines at once.
func registerMany(t *testing.T, r *registry.Registry, seed uint64, changes int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := w; i < changes; i += 16 {
				in := *instance(fmt.Sprintf("_s%d._tcp", rnd.IntN(8)), rnd.IntN(60))
				in.Weight = uint16(rnd.IntN(1000))
				if rnd.IntN(3) == 0 {
					r.Deregister(t.Context(), in.Key, nil) //nolint:errcheck // it may not be there
				} else if _, err := r.Register(t.Context(), in); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
