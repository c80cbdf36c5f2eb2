package nameserver

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestASecondaryThatDoesNotReadMakesRoomForOneThatWaits: however long a write may take
// while no other transfer waits, the other one gets its place within a second.
func TestASecondaryThatDoesNotReadMakesRoomForOneThatWaits(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 30_000)...)
	var log buffer
	s := start(t, Config{
		Zones:  []Zone{{Zone: z, Transfer: []Secondary{{Prefix: loopback}}}},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, writesWithin(time.Hour), func(s *Server) { s.slots = newTransferSlots(1) })
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
	eventually(t, "the whole transfer to be counted", func() bool { return s.Stats().AXFR > 0 })
	if st := s.Stats(); st.TransfersFailed != 1 || st.AXFR != 1 {
		t.Errorf("%d transfers failed, %d were sent", st.TransfersFailed, st.AXFR)
	}
	if log.count("transfer waits") != 1 {
		t.Error("the log does not say that a transfer waited")
	}
}
