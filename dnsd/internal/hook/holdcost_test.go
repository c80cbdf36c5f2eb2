package hook

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// mostPerHold is how much memory one held registration may use: heap and stacks, with
// its registration and the test's end of the connection.
const mostPerHold = 12 << 10

func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC() // a second time, for pools and finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

func TestHeldRegistrationIsCheap(t *testing.T) {
	for _, query := range []string{"?heartbeat=1", ""} {
		t.Run(query, func(t *testing.T) {
			const n = 300 // each has two descriptors
			h := start(t, func(c *Config, _ *registry.Config) { c.Audit = nil })
			h.hold(t, n/4, query, "warm") // memory that is needed once
			before := memoryInUse()
			conns := h.hold(t, n, query, "i")
			for _, c := range conns {
				awaitRenewal(t, c) // the stack that a renewal needs stays allocated
			}
			per := (int64(memoryInUse()) - int64(before)) / n
			t.Logf("%d octets for a held registration", per)
			if per > mostPerHold {
				t.Errorf("%d octets for a held registration, more than %d", per, mostPerHold)
			}
			runtime.KeepAlive(conns)
		})
	}
}

// awaitRenewal sends heartbeats until the hook has renewed the lease.
func awaitRenewal(tb testing.TB, c net.Conn) {
	tb.Helper()
	b := make([]byte, 256)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if _, err := c.Write([]byte("1\r\n.\r\n")); err != nil {
			tb.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, _ := c.Read(b); strings.Contains(string(b[:n]), ": renewed") {
			return
		}
	}
	tb.Fatal("not renewed in 10s")
}

// hold opens n holds, each on its own connection, until the test ends.
func (h *hook) hold(tb testing.TB, n int, query, prefix string) []net.Conn {
	tb.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		id := fmt.Sprintf("%s%d", prefix, i)
		path := "/v1/services/_math._tcp/instances/" + id
		h.put(path, `{"port":1,"lease":"5s","ttl":"1s"}`)
		c, err := net.Dial("tcp", h.Addr().String())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { c.Close() })
		body := "Content-Length: 0\r\n\r\n"
		if query != "" {
			body = "Transfer-Encoding: chunked\r\n\r\n1\r\n.\r\n"
		}
		fmt.Fprintf(c, "POST %s/hold%s HTTP/1.1\r\nHost: %s\r\n%s", path, query, h.Addr(), body)
		in := bufio.NewReader(c)
		for line := ""; !strings.HasPrefix(line, "data: "); {
			if line, err = in.ReadString('\n'); err != nil {
				tb.Fatal(err)
			}
		}
		conns[i] = c
	}
	return conns
}
