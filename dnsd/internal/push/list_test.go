package push

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// TestSessionsAreListed: by zone, the one that does not read first, with what waits for it.
func TestSessionsAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, other := newWorld(t, "svc."), newWorld(t, "other.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone, other.zone}})
		begun := time.Now()
		quick := connect(t, s, true)
		quick.follow(1, "_math._tcp.svc.")
		quick.follow(2, "_mail._tcp.svc.")
		time.Sleep(10 * time.Second)
		slow := connect(t, s, false)
		slow.follow(1, "_math._tcp.svc.")
		connect(t, s, false).follow(1, "_math._tcp.other.")
		connect(t, s, false) // which follows nothing
		synctest.Wait()
		list, total := s.Sessions([]string{"svc."}, 10)
		if total != 2 || len(list) != 2 {
			t.Fatalf("%d of %d: %+v", len(list), total, list)
		}
		want := Session{From: netip.MustParseAddr("192.0.2.1"), TLS: true, Since: begun, Subscriptions: 2}
		if got := list[0]; !got.Since.Equal(want.Since) || got.Last.Before(begun) || got.From != want.From || !got.TLS || got.Subscriptions != 2 || got.Pending != 0 || got.Behind {
			t.Errorf("the oldest is %+v, want %+v", got, want)
		}

		wrote := time.Now()
		w.put("_math._tcp", 0)
		synctest.Wait()
		quick.read()
		synctest.Wait()
		w.put("_math._tcp", 1)
		synctest.Wait()
		quick.read()
		synctest.Wait()
		list, total = s.Sessions([]string{"svc."}, 1)
		if total != 2 || len(list) != 1 {
			t.Fatalf("%d of %d: %+v", len(list), total, list)
		}
		if got := list[0]; got.TLS || got.Pending < 20 || got.Pending > 1000 || !got.Behind || !got.Last.Equal(wrote) || !got.Since.Equal(begun.Add(10*time.Second)) {
			t.Errorf("the one that does not read is %+v", got)
		}
		slow.knows(1, w, "_math._tcp.svc.")
		synctest.Wait()
		for _, got := range first(s.Sessions([]string{"svc."}, 10)) {
			if got.Pending != 0 || got.Behind {
				t.Errorf("all is read: %+v", got)
			}
		}
		if list, total = s.Sessions(nil, 10); len(list) != 0 || total != 0 {
			t.Errorf("of no zone: %+v, %d", list, total)
		}
	})
}

func first[A, B any](a A, _ B) A { return a }

// TestTheFirstOfManySessions: a short list has the same that sorting all of them has first.
func TestTheFirstOfManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		for range 25 {
			connect(t, s, false).follow(1, "_math._tcp.svc.")
			time.Sleep(time.Second)
		}
		synctest.Wait()
		all, _ := s.Sessions([]string{"svc."}, 100)
		for most := 1; most < 30; most++ {
			list, total := s.Sessions([]string{"svc."}, most)
			if total != 25 || !slices.Equal(list, all[:min(most, 25)]) {
				t.Errorf("%d: %d of %d, from %v on", most, len(list), total, list[0].Since)
			}
		}
	})
}
