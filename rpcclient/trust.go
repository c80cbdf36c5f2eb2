package rpcclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// trustedNames says which SRV targets a certificate may be verified against. Without
// DNSSEC, a forged answer can name any target, so the target alone must not decide whose
// certificate is accepted (RFC 9525 section 6.1, RFC 6125 6.2.1).
type trustedNames struct {
	domain string   // of the service, without dots at its ends; "": none
	listed []string // Config.Conn.TLSNames: ".example.com" or "a1.example.com"
}

// serviceDomain returns the rest of a name after its _service._proto: "svc" for
// "_math._tcp.svc.". Without these labels it returns the rest after the first label.
func serviceDomain(service string) string {
	name := strings.ToLower(strings.Trim(service, "."))
	label, rest, _ := strings.Cut(name, ".")
	for strings.HasPrefix(label, "_") {
		if !strings.HasPrefix(rest, "_") {
			return rest
		}
		label, rest, _ = strings.Cut(rest, ".")
	}
	return rest
}

// admits tells whether a target, without its final dot, is trusted.
func (t *trustedNames) admits(target string) bool {
	target = strings.ToLower(target)
	if t.listed == nil {
		return t.domain != "" && strings.HasSuffix(target, "."+t.domain)
	}
	for _, name := range t.listed {
		if target == name || strings.HasPrefix(name, ".") && strings.HasSuffix(target, name) {
			return true
		}
	}
	return false
}

// checkTLSNames checks Config.Conn.TLSNames and returns them in the form of listed.
func checkTLSNames(names []string) ([]string, error) {
	if names == nil {
		return nil, nil
	}
	out := make([]string, 0, len(names))
	for i, name := range names {
		bare := strings.ToLower(strings.TrimSuffix(name, "."))
		host := strings.TrimPrefix(bare, ".")
		if !isHostName(host) {
			return nil, fmt.Errorf(`TLSNames[%d] %q: want a host name, or ".example.com" for all names under example.com`, i, name)
		}
		out = append(out, bare)
	}
	return out, nil
}

// isHostName reports whether s is made of labels of letters, digits, hyphens and
// underscores.
func isHostName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// serverName returns the name that the certificate of an endpoint must have.
func (c *Client) serverName(ep resolver.Endpoint) (string, error) {
	cfg := c.cfg.Conn.TLS
	if cfg.ServerName != "" {
		return cfg.ServerName, nil
	}
	name := strings.TrimSuffix(ep.Target, ".")
	switch {
	case name == "":
		host, _, err := net.SplitHostPort(ep.Addr)
		if err != nil {
			return ep.Addr, nil
		}
		return host, nil
	case name == ep.Target, cfg.InsecureSkipVerify:
		// A target without the final dot comes from the configuration (resolver.Static).
		// With InsecureSkipVerify the name is used for SNI only: the user's code verifies
		// the certificate, or nothing does.
		return name, nil
	case c.trusted.admits(name):
		return name, nil
	case c.trusted.listed != nil:
		return "", fmt.Errorf("tls: the SRV target %s is not among Config.Conn.TLSNames", name)
	case c.trusted.domain == "":
		return "", fmt.Errorf("tls: the service %q names no domain that the SRV target %s could be under; add the target to Config.Conn.TLSNames", c.service, name)
	}
	return "", fmt.Errorf("tls: the SRV target %s is not under %s, the domain of the service, and DNS alone is not believed; if it is right, add it to Config.Conn.TLSNames",
		name, c.trusted.domain)
}

// securing is TLS on one connection. It begins once: in a Dial that needs it early, as
// HTTPPath does, or after Dial.
type securing struct {
	client *Client
	name   string
	done   bool
}

type securingKey struct{}

// secure begins TLS on nc if the context is one of a client with Config.Conn.TLS. If it
// returns an error, nc is closed.
func secure(ctx context.Context, nc net.Conn) (net.Conn, error) {
	s, _ := ctx.Value(securingKey{}).(*securing)
	if s == nil || s.done {
		return nc, nil
	}
	s.done = true
	cfg := s.client.cfg.Conn.TLS.Clone()
	cfg.ServerName = s.name
	t := tls.Client(nc, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("tls to %s: %w%s", s.name, err, tlsHint(err))
	}
	return t, nil
}

// tlsHint returns a question to add to the error of a handshake that failed as it does
// when the server speaks no TLS.
func tlsHint(err error) string {
	if is[tls.RecordHeaderError](err) || hungUp(err) {
		return " (does the server speak TLS on this port?)"
	}
	return ""
}

// greetError makes the error of a connection whose first ping failed.
func (c *Client) greetError(err error) error {
	hint := " (does the server speak net/rpc on this port, with this codec and without TLS?)"
	switch {
	case errors.Is(err, conn.ErrDraining), errors.Is(err, conn.ErrToldToRetire):
		hint = ""
	case c.cfg.Conn.TLS != nil:
		hint = " (does the server speak net/rpc on this port, with this codec?)"
	}
	return fmt.Errorf("connected, but the first ping failed: %w%s", err, hint)
}

// hungUp tells whether the server closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
