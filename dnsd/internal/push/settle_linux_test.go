package push

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestTheSystemKeepsLittleForAClientThatDoesNotRead writes until the system takes no more.
// Without a bound, it takes
// all that fits into the socket's buffer, which grows to megabytes here.
func TestTheSystemKeepsLittleForAClientThatDoesNotRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	settle(server)
	// What the client has in its window came before its buffer was made small.
	const window = 128 << 10
	taken, part := 0, make([]byte, 4<<10)
	for {
		if err := server.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := server.Write(part)
		taken += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if taken > mostUnsent+window+len(part) {
		t.Errorf("the system took %d octets for a client that does not read, want at most %d", taken, mostUnsent+window)
	}
}
