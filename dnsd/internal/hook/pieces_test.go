package hook

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// fill registers n instances of _math._tcp with as much meta as is allowed.
func (h *hook) fill(n int) {
	h.t.Helper()
	meta := make(map[string]string)
	for i := range 6 {
		meta[fmt.Sprintf("m%d", i)] = strings.Repeat("x", 200)
	}
	for i := range n {
		in := registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: fmt.Sprintf("i%06d", i)}, Host: "127.0.0.1", Port: 1, Meta: meta}
		if _, err := h.registry.Register(h.t.Context(), in); err != nil {
			h.t.Fatal(err)
		}
	}
}

// send writes a request and reads nothing.
func (g *guest) send(path string) {
	g.t.Helper()
	if _, err := fmt.Fprintf(g.conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		g.t.Fatal(err)
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A list of fences takes memory for each of them, and for no others.
func TestFencesInAListAreCharged(t *testing.T) {
	const many = 600 // more than one piece
	p := newPipes()
	h := startOn(t, p, func(c *Config, _ *registry.Config) { c.times.write = time.Hour })
	var fences []registry.Fence
	for i := range many {
		fences = append(fences, registry.Fence{Key: registry.Key{Service: "_math._tcp", ID: fmt.Sprintf("i%06d", i)}, Incarnation: 7, Time: time.Now()})
	}
	if _, err := h.registry.Restore(t.Context(), nil, fences); err != nil {
		t.Fatal(err)
	}
	if a := h.do("GET", "/v1/fences?service=_none._tcp", ""); !strings.Contains(string(a.body), `"fences":[]`) {
		t.Errorf("of another service: %d %s", a.status, a.body)
	}
	if a := h.do("GET", "/v1/fences?service=_math._tcp", ""); strings.Count(string(a.body), `"incarnation":7`) != many {
		t.Errorf("%d: %d fences, want %d", a.status, strings.Count(string(a.body), `"incarnation":7`), many)
	}
	eventually(t, "all has been given back", func() bool { return h.lists.inUse() == 0 })
	g := p.guest(t, net.IPv4(127, 0, 0, 1))
	g.send("/v1/fences")
	if _, err := io.ReadFull(g.conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if got, want := h.lists.inUse(), float64(piece+fenceBytes*many); got != want {
		t.Errorf("a list of %d fences takes %v octets, want %v", many, got, want)
	}
}

// A reader of a large answer that does not read costs a piece and a view.
func TestReadersWhoDoNotReadCostLittle(t *testing.T) {
	const instances, readers = 10_000, 20
	p := newPipes()
	h := startOn(t, p, func(c *Config, _ *registry.Config) { c.times.write = time.Hour })
	h.fill(instances)
	for _, path := range []string{"/v1/watch?service=_math._tcp", "/v1/watch", "/v1/services/_math._tcp", "/v1/services"} {
		before := heapInUse()
		guests := make([]*guest, readers)
		for i := range guests {
			guests[i] = p.guest(t, net.IPv4(127, 0, 0, 1))
			guests[i].send(path)
		}
		size := piece + leaseBytes*h.registry.Span("_math._tcp")
		eventually(t, "all write", func() bool { return h.lists.inUse() >= float64(readers*size) })
		// Each answer now has its view and fills its piece; then it waits for the reader.
		one := make([]byte, 1)
		for _, g := range guests {
			if _, err := io.ReadFull(g.conn, one); err != nil {
				t.Fatal(err)
			}
		}
		grown := int64(heapInUse()) - int64(before)
		if most := int64(readers * (size + 128<<10)); grown > most {
			t.Errorf("%s: %d readers cost %d KiB, want at most %d", path, readers, grown>>10, most>>10)
		} else {
			t.Logf("%s: %d readers cost %d KiB", path, readers, grown>>10)
		}
		for _, g := range guests {
			g.conn.Close()
		}
		eventually(t, "all has been given back", func() bool { return h.lists.inUse() == 0 })
	}
}

// A slow reader of events costs one burst, however many events wait for it.
func TestBurstOfEventsGoesOutInPieces(t *testing.T) {
	var sizes []int
	s := &stream{
		w: &response{ResponseWriter: writesTo(func(p []byte) { sizes = append(sizes, len(p)) })}, timeout: time.Hour,
	}
	h := start(t, nil)
	s.bursts, s.control = &h.bursts, http.NewResponseController(s.w)
	part, total := []byte(strings.Repeat("x", 1500)), 0
	parts := make([][]byte, 1000)
	for i := range parts {
		parts[i] = part
	}
	if err := s.send(parts...); err != nil {
		t.Fatal(err)
	}
	for _, n := range sizes {
		total += n
		if n > burst {
			t.Errorf("a write of %d bytes", n)
		}
	}
	if total != 1000*1500 {
		t.Errorf("%d bytes", total)
	}
}

// writesTo is a response writer that reports each write.
type writesTo func(p []byte)

func (writesTo) Header() http.Header           { return http.Header{} }
func (writesTo) WriteHeader(int)               {}
func (writesTo) Flush()                        {}
func (w writesTo) Write(p []byte) (int, error) { w(p); return len(p), nil }

// A caller that has its half of the memory waits; another caller does not.
func TestListsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		h := startOn(t, p, nil)
		h.fill(100)
		h.lists = newBudget(4 * (piece + leaseBytes*100))
		hog := net.IPv4(127, 0, 0, 2)
		for range 2 {
			p.guest(t, hog).send("/v1/watch?service=_math._tcp")
		}
		synctest.Wait()
		began := time.Now()
		refused := p.guest(t, hog)
		answered := make(chan int)
		go func() { answered <- refused.ask("GET", "/v1/services/_math._tcp", "", "") }()
		synctest.Wait()
		if got := p.guest(t, net.IPv4(127, 0, 0, 3)).ask("GET", "/v1/services/_math._tcp", "", ""); got != 200 {
			t.Errorf("another caller: %d", got)
		}
		if got := <-answered; got != http.StatusServiceUnavailable || time.Since(began) != 5*time.Second {
			t.Errorf("the third of one caller: %d after %v", got, time.Since(began))
		}
		time.Sleep(time.Minute) // of fake time: readers that do not read are cut
		synctest.Wait()
		if n := h.lists.inUse(); n != 0 {
			t.Errorf("%v bytes are still taken", n)
		}
	})
}

// A reader that reads very slowly does not keep its memory for ever.
func TestReaderThatHardlyReadsIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		h := startOn(t, p, nil)
		h.fill(2000) // 2.6 MB
		g := p.guest(t, net.IPv4(127, 0, 0, 1))
		g.send("/v1/services/_math._tcp")
		began, read := time.Now(), 0
		buf := make([]byte, 1<<10)
		for {
			n, err := g.conn.Read(buf)
			read += n
			if err != nil {
				break
			}
			time.Sleep(time.Second) // of fake time: a KiB a second
		}
		if took := time.Since(began); took > 20*time.Second || took < 10*time.Second {
			t.Errorf("cut after %v, having read %d", took, read)
		}
	})
}

// A reader that closes in the middle of an answer is not an error.
func TestReaderThatGoesIsNoError(t *testing.T) {
	var log lines
	p := newPipes()
	h := startOn(t, p, func(c *Config, _ *registry.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	h.fill(100)
	for _, path := range []string{"/v1/services", "/v1/services/_math._tcp", "/v1/watch"} {
		g := p.guest(t, net.IPv4(127, 0, 0, 1))
		g.send(path)
		if _, err := io.ReadFull(g.conn, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		g.conn.Close()
	}
	eventually(t, "all are over", func() bool { return h.lists.inUse() == 0 })
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Contains(text, "level=ERROR") || !strings.Contains(text, "answer broke off") {
		t.Error(text)
	}
}
