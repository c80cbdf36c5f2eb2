package resolver_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http/httptest"
	"net/rpc"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/promrollcall"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// seen is what people see of a name.
type seen struct {
	Endpoints int       `json:"endpoints"`
	Confirmed time.Time `json:"confirmed"`
	ExpiresIn string    `json:"expires_in"`
	Error     string    `json:"error"`
	FreshBy   string    `json:"fresh_by"`
	Revision  uint64    `json:"revision"`

	html    string
	metrics map[string]float64 // by name, with the trust if there is one
}

func look(t *testing.T, c *rpcclient.Client, r *resolver.Resolver) seen {
	t.Helper()
	var page struct{ Names seen }
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", "/?format=json", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	s := page.Names
	w = httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	s.html = w.Body.String()
	registry := prometheus.NewRegistry()
	registry.MustRegister(promrollcall.Resolver("own", r, "_math._tcp.svc"))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	s.metrics = map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "rollcall_resolver_")
			for _, l := range m.GetLabel() {
				if l.GetName() == "trust" {
					name = l.GetValue()
				}
			}
			s.metrics[name] = m.GetGauge().GetValue()
		}
	}
	return s
}

// TestPageAndMetricsShowWhatTheResolverKnowsNow: a Source yields changes only. Endpoints that
// a server confirms without a change, or about which it has been silent for long because
// nothing changes, are fresh, and those that no server confirms are not.
func TestPageAndMetricsShowWhatTheResolverKnowsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := resolver.NewFollowed(t)
		server := rpc.NewServer()
		c, err := rpcclient.New("_math._tcp.svc", &rpcclient.Config{Source: f.Resolver, Conn: rpcclient.ConnConfig{
			Dial: func(context.Context, resolver.Endpoint) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go server.ServeConn(theirs)
				return ours, nil
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fresh := func(when string, endpoints int, revision uint64) {
			t.Helper()
			synctest.Wait()
			s := look(t, c, f.Resolver)
			left, err := time.ParseDuration(s.ExpiresIn)
			if s.Endpoints != endpoints || !s.Confirmed.Equal(time.Now()) || err != nil || left <= 0 || s.Error != "" || s.FreshBy != "push" || s.Revision != revision {
				t.Errorf("%s the page has %d endpoints, confirmed %v ago, expires in %s, error %q, by %q at %d", when,
					s.Endpoints, time.Since(s.Confirmed), s.ExpiresIn, s.Error, s.FreshBy, s.Revision)
			}
			if strings.Contains(s.html, "expires in") || !strings.Contains(s.html, "confirmed 0s ago") {
				t.Errorf("%s a person reads:\n%s", when, s.html)
			}
			now := float64(time.Now().UnixMilli()) / 1000
			if m := s.metrics; m["endpoints"] != float64(endpoints) || m["confirmed_timestamp_seconds"] != now || m["confirmed"] != 1 || m["stale"] != 0 || m["followed"] != 1 || m["revision"] != float64(revision) {
				t.Errorf("%s the metrics are %v at %v", when, m, now)
			}
		}
		time.Sleep(time.Second)
		fresh("in the beginning", 3, 1)
		time.Sleep(time.Hour)
		fresh("after a quiet time", 3, 1)
		f.Cut()
		time.Sleep(time.Minute)
		fresh("after a session that confirmed it without a change", 3, 1)
		f.Become(4)
		fresh("at the moment of a change", 4, 2)
		time.Sleep(time.Hour)
		fresh("after a quiet time since the change", 4, 2)

		f.Lose()
		time.Sleep(10 * time.Minute)
		s := look(t, c, f.Resolver)
		if s.Endpoints != 4 || time.Since(s.Confirmed) < 9*time.Minute || !strings.HasPrefix(s.ExpiresIn, "-") || s.Error == "" || s.FreshBy != "ttl" {
			t.Errorf("without a server the page has %+v", s)
		}
		if m := s.metrics; m["endpoints"] != 4 || m["stale"] != 1 || m["confirmed"] != 0 || m["followed"] != 0 {
			t.Errorf("without a server the metrics are %v", m)
		}
	})
}
