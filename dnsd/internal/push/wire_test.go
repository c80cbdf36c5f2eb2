package push

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func liveWire(c net.Conn) *Wire {
	w := NewWire(c)
	w.live = true
	return w
}

// TestAWireKeepsTheOrder: what the system does not take is sent first, whoever writes next,
// and no write waits.
func TestAWireKeepsTheOrder(t *testing.T) {
	for name, ends := range map[string]func(testing.TB) (net.Conn, net.Conn){"socket": socket, "pipe": pipe} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := ends(t)
			if s, ok := theirs.(*net.TCPConn); ok {
				s.SetWriteBuffer(4 << 10)
			}
			w := liveWire(theirs)
			var want bytes.Buffer
			part := make([]byte, 5000)
			var got []byte
			for i := 0; w.left() < mostRest-len(part); i++ {
				if got == nil && w.left() > mostRest/2 { // what the system has is read: it has room again
					got = make([]byte, want.Len()-w.left())
					if _, err := io.ReadFull(ours, got); err != nil {
						t.Fatal(err)
					}
				}
				for j := range part {
					part[j] = byte(i + j)
				}
				if n, err := w.Write(part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
				want.Write(part)
			}
			rest := make([]byte, want.Len()-len(got))
			read := make(chan error)
			go func() {
				_, err := io.ReadFull(ours, rest)
				read <- err
			}()
			if err := w.drain(); err != nil {
				t.Fatal(err)
			}
			if err := <-read; err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(append(got, rest...), want.Bytes()) {
				t.Error("what came is not what was written")
			}
			if n := w.left(); n != 0 {
				t.Errorf("%d octets are left", n)
			}
		})
	}
}

func TestAWireKeepsOnlySoMuch(t *testing.T) {
	_, theirs := pipe(t)
	w := liveWire(theirs)
	if _, err := w.Write(make([]byte, mostRest)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte{0}); !errors.Is(err, errRest) {
		t.Errorf("beyond the bound: %v", err)
	}
	if n := w.left(); n != mostRest {
		t.Errorf("%d octets are left", n)
	}
}

// TestAWireReadsWhatThereIs: a read returns at once, and await returns when there is
// something, when the deadline has passed, and when the other end has closed.
func TestAWireReadsWhatThereIs(t *testing.T) {
	for name, ends := range map[string]func(testing.TB) (net.Conn, net.Conn){"socket": socket, "pipe": pipe} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := ends(t)
			defer theirs.Close()
			w, in := liveWire(theirs), make([]byte, 8)
			if n, err := w.Read(in); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("nothing has come: %d %v", n, err)
			}
			go ours.Write([]byte("some"))
			w.await()
			if n, err := w.Read(in); string(in[:n]) != "some" || err != nil {
				t.Fatalf("%q %v", in[:n], err)
			}
			w.SetReadDeadline(time.Unix(1, 0))
			w.await()
			if n, err := w.Read(in); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("after the deadline: %d %v", n, err)
			}
			w.SetReadDeadline(time.Time{})
			go ours.Close()
			w.await()
			if n, err := w.Read(in); n != 0 || !errors.Is(err, io.EOF) {
				t.Fatalf("after the end: %d %v", n, err)
			}
		})
	}
}

// TestAWireIsTheConnectionUntilServe: a name server reads and writes, and waits.
func TestAWireIsTheConnectionUntilServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := pipe(t)
		w, in := NewWire(theirs), make([]byte, 8)
		go func() {
			time.Sleep(time.Second)
			io.ReadFull(ours, in[:4])
			ours.Write([]byte("back"))
		}()
		begun := time.Now()
		if n, err := w.Write([]byte("some")); n != 4 || err != nil || time.Since(begun) < time.Second || w.left() != 0 {
			t.Errorf("write: %d %v after %v, %d left", n, err, time.Since(begun), w.left())
		}
		if n, err := w.Read(in); string(in[:n]) != "back" || err != nil {
			t.Errorf("read: %q %v", in[:n], err)
		}
	})
}
