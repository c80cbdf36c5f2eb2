package hook

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestMetricsCountByRouteAndState(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Collectors = []prometheus.Collector{prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "more", Help: "From outside."}, func() float64 { return 7 })}
	})
	h.put(a1, `{"port":1}`)
	h.put("/v1/services/_math._tcp/instances/a2", `{"port":1}`)
	h.do("PUT", a1+"/drain", "")
	h.do("BREW", a1, "")
	h.do("GET", "/nowhere", "")
	h.do("POST", "/v1/renew", `{"instances":["_math._tcp/a1"]}`)
	h.stream("GET", "/v1/watch", "").until(eventSync)
	h.stream("POST", "/v1/services/_math._tcp/instances/a2/hold", `{"port":1}`).next()
	text := string(h.do("GET", "/metrics", "").body)
	for _, want := range []string{
		`rollcall_hook_requests_total{method="PUT",path="/v1/services/{service}/instances/{id}",status="201"} 2`,
		`rollcall_hook_requests_total{method="other",path="/v1/services/{service}/instances/{id}",status="405"} 1`,
		`rollcall_hook_requests_total{method="GET",path="/",status="404"} 1`,
		`rollcall_hook_request_seconds_count{path="/v1/renew"} 1`,
		`rollcall_hook_refused_total{reason="rate"} 0`,
		`rollcall_hook_watches 1`,
		`rollcall_hook_holds 1`,
		`rollcall_hook_connections 3`,
		`rollcall_hook_connections_refused_total 0`,
		`rollcall_registry_instances{state="up"} 1`,
		`rollcall_registry_instances{state="drained"} 1`,
		`rollcall_registry_instances{state="suspect"} 0`,
		`rollcall_registry_revision 3`,
		`rollcall_registry_services 1`,
		`more 7`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "rollcall_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
