package rpcserver

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
)

// ServeHTTP serves the clients of rpc.DialHTTP: a CONNECT request whose connection
// then speaks net/rpc. Shutdown drains these connections like the others;
// http.Server's Shutdown does not know them.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.Header().Set("Allow", http.MethodConnect)
		http.Error(w, "405 must CONNECT", http.StatusMethodNotAllowed)
		return
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		http.Error(w, "net/rpc needs HTTP/1", http.StatusHTTPVersionNotSupported)
		return
	}
	nc, rw, err := hijacker.Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := io.WriteString(nc, "HTTP/1.0 200 Connected to Go RPC\n\n"); err != nil {
		nc.Close()
		return
	}
	// net/rpc's client sends nothing before it has this line. Others may.
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n) // cannot fail: it is there
		nc = &eager{Conn: nc, early: bytes.Clone(early)}
	}
	s.ServeConn(nc)
}

// eager is a connection whose first bytes have been read already.
type eager struct {
	net.Conn
	early []byte // owned by the reader
}

func (c *eager) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}

func (c *eager) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Tests: foreign_test.go, interop_test.go.
