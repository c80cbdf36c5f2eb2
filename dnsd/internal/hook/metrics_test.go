package hook

import (
	"fmt"
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
	h.do("HEAD", "/", "")
	next := h.events("").Next
	h.events("?wait=1ms&since=" + next) // its time is not counted
	h.do("POST", "/v1/renew", `{"instances":["_math._tcp/a1"]}`)
	h.stream("GET", "/v1/watch", "").until(eventSync)
	h.stream("POST", "/v1/services/_math._tcp/instances/a2/hold", `{"port":1}`).next()
	text := string(h.do("GET", "/metrics", "").body)
	for _, want := range []string{
		`rollcall_hook_requests_total{method="PUT",path="/v1/services/{service}/instances/{id}",status="201"} 2`,
		`rollcall_hook_requests_total{method="other",path="/v1/services/{service}/instances/{id}",status="405"} 1`,
		`rollcall_hook_requests_total{method="GET",path="/",status="404"} 1`,
		`rollcall_hook_requests_total{method="HEAD",path="/",status="200"} 1`,
		`rollcall_hook_requests_total{method="GET",path="/v1/events",status="200"} 2`,
		`rollcall_hook_request_seconds_count{path="/v1/events"} 1`,
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
		`rollcall_registry_service_instances{service="_math._tcp"} 2`,
		`rollcall_registry_store_sick 0`,
		`rollcall_registry_unstored_changes 0`,
		`rollcall_registry_commit_seconds_count 3`,
		`rollcall_hook_connections_evicted_total 0`,
		`rollcall_hook_list_bytes 0`,
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

// Many services have few time series.
func TestServicesHaveFewTimeSeries(t *testing.T) {
	h := start(t, nil)
	for i := range mostServices + 50 {
		h.put(fmt.Sprintf("/v1/services/_s%d._tcp/instances/a1", i), `{"port":1}`)
	}
	text := string(h.do("GET", "/metrics", "").body)
	if n := strings.Count(text, "\nrollcall_registry_service_instances{"); n != mostServices+1 {
		t.Errorf("%d time series", n)
	}
	if !strings.Contains(text, `rollcall_registry_service_instances{service=""} 50`+"\n") {
		t.Error("the others are not counted")
	}
	if !strings.Contains(text, `rollcall_build_info{goversion="go`) {
		t.Error("no build")
	}
}

// A store that cannot store makes dnsd not ready; the answer does not show its path.
func TestReadyzAndMetricsSayThatTheStoreIsSick(t *testing.T) {
	h := start(t, func(_ *Config, r *registry.Config) { r.Backend = brokenDisk{registry.Memory()} })
	if a := h.do("GET", "/readyz", ""); a.status != 200 {
		t.Errorf("before anything failed: %d", a.status)
	}
	h.do("PUT", a1, `{"port":1}`)
	if a := h.do("GET", "/readyz", ""); a.status != 503 || strings.Contains(a.problem(t).Detail, "input/output") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if text := string(h.do("GET", "/metrics", "").body); !strings.Contains(text, "\nrollcall_registry_store_sick 1\n") {
		t.Error("no metric of it")
	}
	if a := h.do("GET", "/healthz", ""); a.status != 200 {
		t.Errorf("alive: %d", a.status)
	}
}
