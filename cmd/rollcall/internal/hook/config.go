package hook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// Config says where the hook is, and with what right to ask it. Each text that is empty
// is taken from the environment.
type Config struct {
	// Hooks are base URLs or host:port, separated by commas. Else ROLLCALL_HOOK, else
	// http://127.0.0.1:8053.
	Hooks string
	// Token is a secret, TokenFile a file with it in the first line. Else ROLLCALL_TOKEN,
	// else the file ROLLCALL_TOKEN_FILE.
	Token, TokenFile string
	// CA is a PEM file of authorities that sign the hook's certificate. Cert and Key are
	// PEM files with a certificate to show. Else ROLLCALL_CA, ROLLCALL_CERT, ROLLCALL_KEY.
	CA, Cert, Key string
	// Timeout bounds each request, but not a watch.
	Timeout time.Duration
}

// The variables of the environment that a Config is completed from.
const (
	VarHook      = "ROLLCALL_HOOK"
	VarToken     = "ROLLCALL_TOKEN"
	VarTokenFile = "ROLLCALL_TOKEN_FILE"
	VarCA        = "ROLLCALL_CA"
	VarCert      = "ROLLCALL_CERT"
	VarKey       = "ROLLCALL_KEY"
)

// maxSecret bounds a file with a token: it is one line.
const maxSecret = 4 << 10

// Client asks the hooks.
type Client struct {
	bases   []string
	token   string
	tls     *tls.Config
	http    *http.Client
	timeout time.Duration
}

// New checks cfg and reads its files. It sends nothing.
func New(cfg Config) (*Client, error) {
	c := &Client{timeout: cfg.Timeout}
	var err error
	if c.bases, err = bases(cfg.Hooks, os.Getenv(VarHook)); err != nil {
		return nil, err
	}
	if c.token, err = token(cfg); err != nil {
		return nil, err
	}
	if c.tls, err = tlsConfig(cfg); err != nil {
		return nil, err
	}
	c.http = &http.Client{
		// No proxy: it would see the token, and a hook is rarely reachable from there.
		Transport: &http.Transport{
			TLSClientConfig:     c.tls,
			TLSHandshakeTimeout: cfg.Timeout,
			ForceAttemptHTTP2:   true,
			DialContext:         (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
		},
		// A hook sends none, and the token is for the hook alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Bases are the URLs of the hooks.
func (c *Client) Bases() []string { return c.bases }

// Token is the secret that is sent, or empty.
func (c *Client) Token() string { return c.token }

// HTTP is what the hooks are asked with. It uses no proxy and follows no redirect.
func (c *Client) HTTP() *http.Client { return c.http }

// bases reads the list of hooks.
func bases(given, env string) ([]string, error) {
	list, place := given, "-hook"
	if list == "" {
		list, place = env, VarHook
	}
	words := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r <= ' ' })
	if len(words) == 0 {
		return []string{"http://" + register.DefaultHook}, nil
	}
	for i, w := range words {
		base, ok := baseURL(w)
		if !ok {
			return nil, fmt.Errorf("%s: bad address %q; write a URL such as http://%s, or host:port", place, w, register.DefaultHook)
		}
		words[i] = base
	}
	return words, nil
}

// baseURL reads a URL, host:port or a host, as package register does.
func baseURL(s string) (string, bool) {
	if !strings.Contains(s, "://") {
		if _, _, err := net.SplitHostPort(s); err != nil {
			_, port, _ := net.SplitHostPort(register.DefaultHook)
			s = net.JoinHostPort(strings.Trim(s, "[]"), port)
		}
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", false
	}
	return strings.TrimRight(u.String(), "/"), true
}

// token finds the secret. What is given as a flag comes before the environment.
func token(cfg Config) (string, error) {
	if cfg.Token != "" && cfg.TokenFile != "" {
		return "", errors.New("-token and -token-file: give one of them")
	}
	secret, file, place := cfg.Token, cfg.TokenFile, "-token"
	if secret == "" && file == "" {
		if secret, place = os.Getenv(VarToken), VarToken; secret == "" {
			file = os.Getenv(VarTokenFile)
		}
	}
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("token file: %w", err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return "", fmt.Errorf("token file: %w", err)
		}
		if len(text) > maxSecret {
			return "", fmt.Errorf("token file %s: it is longer than %d octets; it has the secret in its first line, and no more", file, maxSecret)
		}
		secret, _, _ = strings.Cut(string(text), "\n")
		if secret, place = strings.TrimSpace(secret), "token file "+file; secret == "" {
			return "", fmt.Errorf("%s: the first line is empty; write the secret there", place)
		}
	}
	// A secret is not shown in an error.
	if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("%s: the secret has a character that no HTTP header can carry: only visible ASCII is possible", place)
	}
	return secret, nil
}

func tlsConfig(cfg Config) (*tls.Config, error) {
	for _, v := range []struct {
		field *string
		name  string
	}{{&cfg.CA, VarCA}, {&cfg.Cert, VarCert}, {&cfg.Key, VarKey}} {
		if *v.field == "" {
			*v.field = os.Getenv(v.name)
		}
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CA != "" {
		pem, err := os.ReadFile(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("-ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("-ca: %s has no certificate; give a PEM file", cfg.CA)
		}
	}
	if (cfg.Cert == "") != (cfg.Key == "") {
		return nil, errors.New("-cert and -key: give both, or none")
	}
	if cfg.Cert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("-cert and -key: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
