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

// What the peer's host has not taken is seen through every layer of the
// connection.
func TestLineSeesWhatIsNotAcknowledged(t *testing.T) {
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
		line := lineOf(req)
		if line.tcp != raw {
			t.Fatalf("%s: found %v", name, line.tcp)
		}
		line.giveUpAfter(time.Minute)
		if n := line.unacknowledged(); n != 0 {
			t.Fatalf("%s: %d bytes before anything was sent", name, n)
		}
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
	if n := (line{raw.(*net.TCPConn)}).unacknowledged(); n == 0 {
		t.Error("everything is acknowledged by a peer that does not read")
	}
	if n := (line{}).unacknowledged(); n != 0 {
		t.Errorf("%d bytes on no line", n)
	}
}
