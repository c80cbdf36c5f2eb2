package rpcserver

import (
	"io"
	"net/http"
)

// ServeHTTP serves the clients of rpc.DialHTTP: a CONNECT request whose
// connection then speaks net/rpc. Connections that came this way are drained by
// Shutdown like the others, which http.Server's own does not know.
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
	// net/rpc's client sends nothing before it has this very line.
	if rw.Reader.Buffered() > 0 {
		nc.Close()
		return
	}
	if _, err := io.WriteString(nc, "HTTP/1.0 200 Connected to Go RPC\n\n"); err != nil {
		nc.Close()
		return
	}
	s.ServeConn(nc)
}
