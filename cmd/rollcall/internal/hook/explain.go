package hook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/rollcall-dns/rollcall/register"
)

// errPlain: the hook speaks TLS, and was asked without it.
var errPlain = errors.New("it speaks HTTPS: write https:// in place of http://")

// explain names the hook in an error, and adds the cure.
func (c *Client) explain(base string, err error) error {
	var p *register.Problem
	if errors.As(err, &p) {
		return c.refusal(base, p, err)
	}
	var u *url.Error
	if errors.As(err, &u) { // it repeats the method and the whole URL
		err = u.Err
	}
	cure := ""
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	var lookup *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return fmt.Errorf("hook %s: no answer within %v; is it overloaded, or does a firewall drop the packets? -timeout waits longer: %w", base, c.timeout, context.DeadlineExceeded)
	case errors.Is(err, syscall.ECONNREFUSED):
		cure = fmt.Sprintf("is dnsd running there? Give its URL with -hook or in %s", VarHook)
	case errors.As(err, &lookup):
		cure = "is the name of the host right? Give the URL with -hook or in " + VarHook
	case errors.As(err, &unknown):
		cure = "give the authority that signed it with -ca or in " + VarCA
	case errors.As(err, &host), errors.As(err, &invalid):
		cure = "the hook needs another certificate, or another name in the URL"
	case errors.As(err, &header), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		cure = "it does not speak HTTPS: write http:// in place of https://"
	case strings.Contains(err.Error(), "certificate required"):
		cure = "it asks for a client certificate: give one with -cert and -key"
	case strings.Contains(err.Error(), "tls: "):
		cure = "it refuses the certificate or the protocol: see -cert and -key, and the log of dnsd"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		cure = "it closed the connection: is this dnsd's hook? The log of dnsd may have the reason"
	}
	if cure != "" {
		return fmt.Errorf("hook %s: %w; %s", base, err, cure)
	}
	return fmt.Errorf("hook %s: %w", base, err)
}

// refusal adds how the command is given what the hook asks for. Its detail says what
// that is.
func (c *Client) refusal(base string, p *register.Problem, err error) error {
	switch {
	case p.Status == http.StatusUnauthorized && c.token == "":
		return fmt.Errorf("hook %s: %w; give the token with -token-file, in %s or in %s", base, err, VarToken, VarTokenFile)
	case p.Status == http.StatusUnauthorized:
		return fmt.Errorf("hook %s: %w; the token of -token, -token-file, %s or %s is not one of its Corefile", base, err, VarToken, VarTokenFile)
	}
	return fmt.Errorf("hook %s: %w", base, err)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// Tests: request_test.go.
