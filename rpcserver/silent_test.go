package rpcserver_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// TestStopDoesNotWaitForTheSilent: a client that connects, and sends nothing or stops within
// the first bytes, is no reason to wait, and no error.
func TestStopDoesNotWaitForTheSilent(t *testing.T) {
	const limit = time.Minute
	pki := httptest.NewTLSServer(nil) // for its certificate
	defer pki.Close()
	insecure := &tls.Config{InsecureSkipVerify: true}
	for _, test := range []struct {
		name string
		tls  bool
		say  func(nc net.Conn) error
	}{
		{"nothing", false, func(net.Conn) error { return nil }},
		{"half a length", false, func(nc net.Conn) error { _, err := nc.Write([]byte{0xfe, 1}); return err }},
		{"no hello", true, func(net.Conn) error { return nil }},
		{"half a hello", true, func(nc net.Conn) error { _, err := nc.Write([]byte{22, 3, 1, 0}); return err }},
		{"half a handshake", true, func(nc net.Conn) error {
			tls.Client(stingy{nc}, insecure).Handshake()
			return nil
		}},
		{"nothing but a handshake", true, func(nc net.Conn) error { return tls.Client(nc, insecure).Handshake() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := rpcserver.Config{Quiet: 20 * time.Millisecond}
			if test.tls {
				cfg.TLS = &tls.Config{Certificates: pki.TLS.Certificates}
			}
			s, addr := serve(t, cfg)
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if err := test.say(nc); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			begin := time.Now()
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took > limit/4 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// stingy is a client that reads, and writes its first flight only.
type stingy struct{ net.Conn }

func (c stingy) Write(p []byte) (int, error) {
	if len(p) > 5 && p[0] == 22 { // the handshake's first record
		return c.Conn.Write(p)
	}
	return 0, net.ErrClosed
}

// TestHandshakeAtTheTimeOfTheStopIsNotCutOff: a client that is slow to shake hands is
// told to call elsewhere, and served.
func TestHandshakeAtTheTimeOfTheStopIsNotCutOff(t *testing.T) {
	pki := httptest.NewTLSServer(nil)
	defer pki.Close()
	s, addr := serve(t, rpcserver.Config{Quiet: time.Minute, TLS: &tls.Config{Certificates: pki.TLS.Certificates}})
	insecure := &tls.Config{InsecureSkipVerify: true}
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	old := rawOn(t, tls.Client(first, insecure))
	old.send(t, "Arith.Multiply", Args{1, 1})
	old.recv(t, new(int))
	late, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, enough := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(ctx) }()
	isDrain(t, old.recv(t, nil), maxSeq)
	c := rawOn(t, tls.Client(late, insecure))
	isDrain(t, c.recv(t, nil), maxSeq)
	c.send(t, "Arith.Multiply", Args{6, 7})
	var n int
	if resp := c.recv(t, &n); resp.Error != "" || n != 42 {
		t.Errorf("%+v, %d", resp, n)
	}
	c.nc.Close()
	old.nc.Close()
	enough()
	<-ended
}
