package promrollcall_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/promrollcall"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"github.com/rollcall-dns/rollcall/rpcserver/shed"
	"github.com/rollcall-dns/rollcall/testenv"
)

// scrape is what Prometheus reads from collectors. A pedantic registry checks that they
// send what they describe.
func scrape(t *testing.T, all ...prometheus.Collector) (registry *prometheus.Registry, text string) {
	t.Helper()
	registry = prometheus.NewPedanticRegistry()
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return registry, w.Body.String()
}

// want checks that the text has lines.
func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			t.Errorf("missing %s; there is\n%s", line, strings.Join(regexp.MustCompile(`(?m)^`+name+`\W.*$`).FindAllString(text, -1), "\n"))
		}
	}
}

// everything is a scrape of a dnsd, a server that is registered with it, and a client.
func everything(t *testing.T) (registry *prometheus.Registry, text string) {
	t.Helper()
	env := testenv.New(t, testenv.Setup{Nodes: -1})
	limit := shed.New(shed.Config{})
	s := rpcserver.New(rpcserver.Config{
		Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Middleware: []rpcserver.Middleware{limit.Middleware},
		Announce: []register.Config{{Hooks: env.HookURLs(), Service: "_math._tcp", ID: "a1"}},
	})
	if err := s.Register(&testenv.Arith{}); err != nil {
		t.Fatal(err)
	}
	go s.ListenAndServe("")
	t.Cleanup(func() { s.Close() })
	if err := s.Announced(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := env.Resolver()
	times := promrollcall.NewCallTimes("all")
	c := env.Client(&rpcclient.Config{Source: r, Interceptors: []rpcclient.Interceptor{times.Interceptor}, Conn: rpcclient.ConnConfig{PerNode: 1}})
	for range 3 {
		if err := c.Call(t.Context(), "Arith.Multiply", &testenv.Args{A: 1, B: 2}, new(int)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Call(t.Context(), "Arith.Divide", &testenv.Args{A: 1}, new(testenv.Quotient)); err == nil {
		t.Fatal("1 was divided by 0")
	}
	tick := time.NewTicker(time.Millisecond) // there is no event for the beginning of a session
	defer tick.Stop()
	for begin := time.Now(); r.Freshness(env.Name()).By != "push"; <-tick.C {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("the service is not followed: %+v", r.Freshness(env.Name()))
		}
	}
	registry, text = scrape(t,
		promrollcall.Client("math", c), promrollcall.Resolver("own", r, env.Name(), "_nothing._tcp.svc"),
		promrollcall.Server("api", s), promrollcall.Limit("all", limit), times)
	node := s.Addr().String()
	want(t, text,
		`rollcall_client_calls_total{client="math"} 4`,
		`rollcall_client_calls_failed_total{client="math",executed="yes"} 1`,
		`rollcall_client_calls_failed_total{client="math",executed="never"} 0`,
		`rollcall_client_call_duration_seconds_count{client="all",outcome="ok",service="`+env.Name()+`"} 3`,
		`rollcall_client_call_duration_seconds_count{client="all",outcome="error",service="`+env.Name()+`"} 1`,
		`rollcall_client_nodes{client="math",standing="healthy"} 1`,
		`rollcall_client_nodes{client="math",standing="down"} 0`,
		`rollcall_client_node_attempts_total{client="math",node="`+node+`"} 4`,
		`rollcall_client_node_connections{client="math",node="`+node+`"} 1`,
		`rollcall_resolver_endpoints{resolver="own",service="`+env.Name()+`"} 1`,
		`rollcall_resolver_trust{resolver="own",service="`+env.Name()+`",trust="confirmed"} 1`,
		`rollcall_resolver_trust{resolver="own",service="`+env.Name()+`",trust="stale"} 0`,
		`rollcall_resolver_trust{resolver="own",service="_nothing._tcp.svc",trust="confirmed"} 0`,
		`rollcall_resolver_endpoints{resolver="own",service="_nothing._tcp.svc"} 0`,
		`rollcall_server_connections{server="api"} 1`,
		`rollcall_server_method_calls_total{method="Arith.Multiply",server="api"} 3`,
		`rollcall_server_method_failures_total{method="Arith.Divide",server="api"} 1`,
		`rollcall_server_serving{server="api"} 1`,
		`rollcall_server_registrations{server="api",state="replaced"} 0`,
		`rollcall_server_limit_calls{limit="all"} 20`,
		`rollcall_server_limit_refused_total{limit="all"} 0`,
	)
	return registry, text
}

// docs/metrics-go.md has each metric of a real scrape with its type and its labels, and no
// other.
func TestPageHasEachMetric(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics-go.md")
	if err != nil {
		t.Fatal(err)
	}
	registry, text := everything(t)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		there[f.GetName()] = fmt.Sprint(strings.ToLower(f.GetType().String()), labels)
	}
	if len(there) < 30 {
		t.Errorf("only %d metrics were seen", len(there))
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(rollcall_\\w+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		labels := strings.Split(m[3], ", ")
		slices.Sort(labels)
		if want := fmt.Sprint(m[2], labels); there[m[1]] != want {
			t.Errorf("docs/metrics-go.md has %s as %s; the scrape has %q", m[1], want, there[m[1]])
		}
		delete(there, m[1])
	}
	for name := range there {
		t.Errorf("docs/metrics-go.md does not have %s", name)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Names, units and texts are as promtool wants them.
func TestMetricsPassPromtool(t *testing.T) {
	promtool := peertest.Need(t, "promtool")
	_, text := everything(t)
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = bytes.NewReader([]byte(text))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Several collectors of one kind are told apart by their names.
func TestTwoOfOneKindNeedTwoNames(t *testing.T) {
	a, b := shed.New(shed.Config{}), shed.New(shed.Config{Begin: 7})
	_, text := scrape(t, promrollcall.Limit("a", a), promrollcall.Limit("b\xff", b))
	want(t, text, `rollcall_server_limit_calls{limit="a"} 20`, "rollcall_server_limit_calls{limit=\"b\uFFFD\"} 7")
	registry, _ := scrape(t, promrollcall.Limit("a", a))
	if err := registry.Register(promrollcall.Limit("a", b)); err == nil {
		t.Error("two limits have one name")
	}
}
