package nameserver

import (
	"bytes"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// buffer is a log that any goroutine may write.
type buffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// count is how often a word stands in the log.
func (b *buffer) count(word string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Count(b.text.Bytes(), []byte(word))
}

// TestASecondaryThatDoesNotReadMakesRoomForOneThatWaits: however long it may take
// when nobody waits, the place is somebody else's within a second.
func TestASecondaryThatDoesNotReadMakesRoomForOneThatWaits(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 30_000)...)
	var log buffer
	s := start(t, Config{
		Zones: []Zone{{Zone: z, Transfer: []Peer{{Prefix: loopback}}}},
		TCP:   TCPLimits{Transfers: 1, Write: time.Hour}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	axfr, err := new(dns.Msg).SetAxfr("svc.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	silent := dialTCP(t, s)
	silent.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := silent.Write(frame(axfr)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first transfer", func() bool { return len(s.slots.places) == 1 })
	if got := text(t, fetch(t, s.Addrs()[0].String(), new(dns.Msg).SetAxfr("svc."))); len(got) != len(contents(z)) {
		t.Errorf("%d records, want %d", len(got), len(contents(z)))
	}
	if st := s.Stats(); st.TransfersFailed != 1 || st.AXFR != 1 {
		t.Errorf("%d transfers failed, %d were sent", st.TransfersFailed, st.AXFR)
	}
	if log.count("transfer waits") != 1 {
		t.Error("nothing is said of the one that waited")
	}
}

// dead is a listener without a descriptor to spare, until its test ends.
type dead struct {
	end      <-chan struct{}
	accepted *int
}

func (d dead) Accept() (net.Conn, error) {
	select {
	case <-d.end:
		return nil, net.ErrClosed
	default:
		*d.accepted++
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
}
func (d dead) Close() error   { return nil }
func (d dead) Addr() net.Addr { return &net.TCPAddr{} }

// TestAListenerWithoutDescriptorsFillsNoLog for an hour.
func TestAListenerWithoutDescriptorsFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log buffer
		set, err := newSettings(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, [16]byte{})
		if err != nil {
			t.Fatal(err)
		}
		s := new(Server)
		s.settings.Store(set)
		accepted, end := 0, make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.acceptLoop(t.Context(), dead{end, &accepted}, overTCP, &wg); err != nil {
				t.Error(err)
			}
		})
		<-time.After(time.Hour)
		close(end)
		wg.Wait()
		if n := log.count("accept failed"); n < 2 || n > 61 {
			t.Errorf("%d lines in an hour", n)
		}
		if accepted > 3700 {
			t.Errorf("tried %d times in an hour", accepted)
		}
	})
}

// TestConnectionsLeaveDescriptorsForOthers: the hook and the store need some.
func TestConnectionsLeaveDescriptorsForOthers(t *testing.T) {
	var log buffer
	for limit, want := range map[int]int{0: 1000, 60: 30, 1999: 999, 2000: 1000, 1 << 20: 1000, 1: 1} {
		set := &settings{log: slog.New(slog.NewTextHandler(&log, nil)), Config: Config{TCP: TCPLimits{Conns: 1000}}}
		if set.fitDescriptors(limit); set.TCP.Conns != want {
			t.Errorf("%d descriptors: %d connections, want %d", limit, set.TCP.Conns, want)
		}
	}
	if n := log.count("RLIMIT_NOFILE"); n != 3 {
		t.Errorf("told %d times, want 3", n)
	}
}
