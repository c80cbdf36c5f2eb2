package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// server is a dnsd of the test.
type server struct {
	t     *testing.T
	url   string
	token string
	dnsd  *dnsd.Server
}

// config is that of the dnsd of a test.
func config(tokens []dnsd.Token) dnsd.Config {
	return dnsd.Config{Zones: []dnsd.Zone{{
		Bind:   []string{"127.0.0.1:0"},
		Hook:   dnsd.Hook{Addr: "127.0.0.1:0", Tokens: tokens, Limits: dnsd.HookLimits{Rate: 100_000}},
		Limits: dnsd.Limits{PerService: 20_000},
	}}}
}

// serve runs a dnsd until the end of the test.
func serve(t *testing.T, tokens ...dnsd.Token) *server {
	t.Helper()
	s, err := dnsd.New(config(tokens))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	out := &server{t: t, url: s.HookURL(), dnsd: s}
	for _, k := range tokens {
		out.token = k.Secret // the last one may do most
	}
	return out
}

// reload gives dnsd other tokens.
func (s *server) reload(tokens ...dnsd.Token) {
	s.t.Helper()
	if err := s.dnsd.Reload(config(tokens)); err != nil {
		s.t.Fatal(err)
	}
	if now := s.dnsd.HookURL(); now != s.url {
		s.t.Fatalf("the hook moved from %s to %s", s.url, now)
	}
}

// do sends a request, which must succeed.
func (s *server) do(method, path, body string) {
	s.t.Helper()
	if err := s.try(method, path, body); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) try(method, path, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	return nil
}

func path(service, id string) string { return "/v1/services/" + service + "/instances/" + id }

// put registers an instance.
func (s *server) put(service, id, body string) {
	s.t.Helper()
	s.do("PUT", path(service, id), body)
}
