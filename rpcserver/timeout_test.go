package rpcserver

import (
	"bytes"
	"crypto/tls"
	"encoding/gob"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/rpc"
	"testing"
	"testing/synctest"
	"time"
)

// Sized has answers of any size.
type Sized struct{}

// Get is one of n bytes.
func (Sized) Get(n int, out *[]byte) error {
	*out = make([]byte, n)
	return nil
}

// TestFrameTimeoutIsForAWholeRequest: a byte now and then does not extend it. The next
// request has the same time again.
func TestFrameTimeoutIsForAWholeRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		s := New(Config{Limits: Limits{FrameTimeout: limit}})
		if err := s.Register(Sized{}); err != nil {
			t.Fatal(err)
		}
		theirs, ours := net.Pipe()
		go s.ServeConn(ours)
		go io.Copy(io.Discard, theirs)
		var b bytes.Buffer
		enc := gob.NewEncoder(&b)
		request := func() []byte {
			b.Reset()
			if err := errors.Join(enc.Encode(rpc.Request{ServiceMethod: "Sized.Get", Seq: 1}), enc.Encode(1)); err != nil {
				t.Fatal(err)
			}
			return bytes.Clone(b.Bytes())
		}
		for range 3 { // in time, each
			r := request()
			for _, half := range [][]byte{r[:len(r)/2], r[len(r)/2:]} {
				if _, err := theirs.Write(half); err != nil {
					t.Fatal(err)
				}
				time.Sleep(limit * 3 / 4)
			}
		}
		time.Sleep(10 * limit) // between requests there is no limit
		begin := time.Now()
		r := request()
		for i := 0; ; i++ {
			if _, err := theirs.Write(r[i : i+1]); err != nil {
				break
			}
			time.Sleep(limit / 8)
		}
		if took := time.Since(begin); took > limit*5/4 {
			t.Errorf("cut off after %v", took)
		}
		s.Close()
		theirs.Close()
	})
}

// TestWriteTimeoutIsForAPiece: a client that reads steadily, if slowly, gets the whole
// answer. One that stops is cut off.
func TestWriteTimeoutIsForAPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, size = time.Minute, 8 << 20
		s := New(Config{Limits: Limits{WriteTimeout: limit}})
		if err := s.Register(Sized{}); err != nil {
			t.Fatal(err)
		}
		theirs, ours := net.Pipe()
		go s.ServeConn(ours)
		slow := &slowReader{Conn: theirs, pause: limit / 16} // a piece takes a quarter of the limit
		c := rpc.NewClient(slow)
		begin := time.Now()
		var got []byte
		if err := c.Call("Sized.Get", size, &got); err != nil || len(got) != size {
			t.Fatalf("after %v: %d bytes, %v", time.Since(begin), len(got), err)
		}
		if took := time.Since(begin); took < 2*limit {
			t.Errorf("it took %v, less than it was to take", took)
		}
		slow.pause = 2 * limit
		begin = time.Now()
		if err := c.Call("Sized.Get", size, &got); err == nil {
			t.Errorf("a client that does not read got it all after %v", time.Since(begin))
		}
		c.Close()
		s.Close()
	})
}

// slowReader pauses after each piece that it reads.
type slowReader struct {
	net.Conn
	pause time.Duration
}

func (r *slowReader) Read(p []byte) (int, error) {
	n, err := io.ReadFull(r.Conn, p[:min(len(p), 1)])
	if len(p) > 1 && err == nil {
		var more int
		more, err = r.Conn.Read(p[1:min(len(p), 64<<10)])
		n += more
	}
	if n > 4096 {
		time.Sleep(r.pause)
	}
	return n, err
}

// TestCloseDoesNotWaitForTLSPeersThatDoNotRead, though crypto/tls has a message for them.
func TestCloseDoesNotWaitForTLSPeersThatDoNotRead(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	certificates := web.TLS.Certificates
	web.Close()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		if err := s.Register(Sized{}); err != nil {
			t.Fatal(err)
		}
		var peers []net.Conn
		for range 3 {
			theirs, ours := net.Pipe()
			peers = append(peers, theirs)
			server := tls.Server(ours, &tls.Config{Certificates: certificates, SessionTicketsDisabled: true})
			go s.ServeConn(server)
			if err := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		begin := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		for _, p := range peers {
			p.Close()
		}
	})
}
