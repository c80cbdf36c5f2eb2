package hook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// asks makes a client of servers with these handlers.
func asks(t *testing.T, handlers ...http.HandlerFunc) *Client {
	t.Helper()
	var urls []string
	for _, h := range handlers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	c, err := New(Config{Hooks: strings.Join(urls, ","), Token: "secret", Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refuses(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", register.ProblemType)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"detail":"because of %d"}`, status)
	}
}

func answers(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprint(w, text)
	}
}

func TestTheFirstHookThatAnswersIsUsed(t *testing.T) {
	strange := func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	}
	for name, tc := range map[string]struct {
		hooks []http.HandlerFunc
		want  string // in the error; empty: none
	}{
		"one":                          {[]http.HandlerFunc{answers(`{"revision":7}`)}, ""},
		"the second, of one that 503s": {[]http.HandlerFunc{refuses(503), answers(`{"revision":7}`)}, ""},
		"the second, of a stranger":    {[]http.HandlerFunc{strange, answers(`{"revision":7}`)}, ""},
		"a refusal counts":             {[]http.HandlerFunc{refuses(404), answers(`{"revision":7}`)}, "because of 404"},
		"all are away":                 {[]http.HandlerFunc{refuses(503), refuses(503)}, "because of 503"},
		"no hook":                      {[]http.HandlerFunc{strange}, "is the URL right? It answers 404 Not Found"},
		"a page":                       {[]http.HandlerFunc{answers("<html>")}, ErrFormat.Error()},
		"a redirect":                   {[]http.HandlerFunc{elsewhere}, "It answers 302 Found"},
	} {
		t.Run(name, func(t *testing.T) {
			var out register.Services
			err := asks(t, tc.hooks...).Do(context.Background(), http.MethodGet, "/v1/services", nil, &out)
			switch {
			case tc.want == "" && (err != nil || out.Revision != 7):
				t.Errorf("revision %d, error %v", out.Revision, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestAHookThatHangsIsGivenUp(t *testing.T) {
	done := make(chan struct{})
	c := asks(t, func(w http.ResponseWriter, r *http.Request) { <-done })
	defer close(done)
	c.timeout = 50 * time.Millisecond
	err := c.Do(context.Background(), http.MethodGet, "/", nil, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("got %v", err)
	}
}

func TestPathsAreEscaped(t *testing.T) {
	if got := Instance("_math._tcp", "../x?y"); got != "/v1/services/_math._tcp/instances/..%2Fx%3Fy" {
		t.Errorf("got %s", got)
	}
}

// TestTheErrorNamesTheSchemeThatWorks: http:// in place of https://, and the other way.
func TestTheErrorNamesTheSchemeThatWorks(t *testing.T) {
	plain := httptest.NewServer(answers("{}"))
	defer plain.Close()
	secure := httptest.NewTLSServer(answers("{}"))
	defer secure.Close()
	for url, want := range map[string]string{
		strings.Replace(plain.URL, "http:", "https:", 1):  "write http:// in place of https://",
		strings.Replace(secure.URL, "https:", "http:", 1): "write https:// in place of http://",
		secure.URL:                "give the authority that signed it with -ca",
		"http://nosuch.invalid:1": "is the name of the host right?",
	} {
		c, err := New(Config{Hooks: url, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Do(context.Background(), http.MethodGet, "/v1/services", nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", url, err, want)
		}
	}
}
