package resolver

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// serveSockets puts a handler on a real port, UDP and TCP.
func serveSockets(t *testing.T, h handler) (addr string) {
	t.Helper()
	addr = freeaddr.Take(1)[0].String()
	for _, network := range []string{"udp", "tcp"} {
		started := make(chan struct{})
		s := &dns.Server{
			Addr: addr, Net: network, NotifyStartedFunc: func() { close(started) },
			Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
				for _, reply := range h(network, q) {
					_, _ = w.Write(reply)
				}
			}),
		}
		done := make(chan error, 1)
		go func() { done <- s.ListenAndServe() }()
		select {
		case <-started:
		case err := <-done:
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-done
		})
	}
	return addr
}

func TestOverRealSockets(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 20, 500} { // UDP; UDP without all glue; TC
		r := &Resolver{Servers: []string{serveSockets(t, service(t, n))}}
		got, err := r.Lookup(t.Context(), mathTCP)
		if err != nil || len(got.Endpoints) != n {
			t.Errorf("%d endpoints (%v), want %d", len(got.Endpoints), err, n)
		}
	}
}

// TestTheSameFailureReadsTheSame: our own port is not in the text, since every retry
// would be news to a watcher.
func TestTheSameFailureReadsTheSame(t *testing.T) {
	t.Parallel()
	addr := freeaddr.Take(1)[0].String() // no server listens there
	var texts []string
	for range 2 {
		_, err := (&Resolver{Servers: []string{addr}, Timeout: 10 * time.Second}).Lookup(t.Context(), mathTCP)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("%v, want connection refused", err)
		}
		texts = append(texts, err.Error())
	}
	if texts[0] != texts[1] {
		t.Errorf("%s\n%s", texts[0], texts[1])
	}
}

// lines collects log lines without their time.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, strings.TrimSpace(string(b)))
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// logTo gives a logger whose lines have no time.
func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// TestTheLogTellsOnce what no error tells, even if it is found again and again.
func TestTheLogTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(zone(t, mathTCP+" 5 IN SRV 0 0 0 a.svc.", mathTCP+" 5 IN SRV 0 0 80 b.svc.", "a.svc. 5 IN A 10.0.0.1", "b.svc. 5 IN A 10.0.0.2"))
		log := new(lines)
		r.Logger = logTo(log)
		w := watch(t, r, mathTCP)
		time.Sleep(time.Minute)
		s.become(rcode(dns.RcodeServerFailure))
		time.Sleep(time.Minute)
		s.become(zone(t, soa))
		time.Sleep(time.Minute)
		w.close()
		want := []string{
			`level=WARN msg="resolver: SRV records left out" name=_math._tcp.svc. server=ns1:53 records="a.svc. port 0: port 0"`,
			`level=WARN msg="resolver: using stale endpoints" name=_math._tcp.svc. endpoints=1 error="resolver: lookup _math._tcp.svc. SRV @ns1:53: the server failed (SERVFAIL)"`,
			`level=INFO msg="resolver: the set has shrunk, asking for confirmation" name=_math._tcp.svc. server=ns1:53 endpoints=0 before=1 error="resolver: lookup _math._tcp.svc. SRV @ns1:53: no such name: no instance is registered under it (NXDOMAIN)"`,
			`level=WARN msg="resolver: no endpoints left" name=_math._tcp.svc. error="resolver: lookup _math._tcp.svc. SRV @ns1:53: no such name: no instance is registered under it (NXDOMAIN)"`,
		}
		if got := log.String(); got != strings.Join(want, "\n") {
			t.Errorf("logged\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	})
}
