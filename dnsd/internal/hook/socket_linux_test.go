package hook

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// The bytes that the peer's host has not acknowledged are known, through every layer of
// the connection.
func TestSocketSeesWhatIsNotAcknowledged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	counted := &conn{Conn: raw, pool: newPool()}
	for name, c := range map[string]net.Conn{"plain": counted, "TLS": tls.Server(counted, &tls.Config{})} {
		req, err := http.NewRequestWithContext(context.WithValue(t.Context(), connKey{}, c), "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tcp, ok := tcpOf(socketOf(req)); !ok || tcp != raw {
			t.Fatalf("%s: found %v", name, tcp)
		}
		giveUpAfter(c, time.Minute)
		if n := unacknowledged(c); n != 0 {
			t.Fatalf("%s: %d bytes before anything was sent", name, n)
		}
		if d := lastHeard(c); d > time.Minute {
			t.Fatalf("%s: last heard %v ago", name, d)
		}
	}
	for tries := 0; unacknowledged(raw) == 0; tries++ { // on a busy machine the time is over before much is written
		if tries == 100 {
			t.Fatal("everything is acknowledged by a peer that does not read")
		}
		if err := raw.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 1<<20); err == nil; {
			_, err = raw.Write(buf)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		err = nil
	}
	if n := unacknowledged(nil); n != 0 {
		t.Errorf("%d bytes on no connection", n)
	}
}
