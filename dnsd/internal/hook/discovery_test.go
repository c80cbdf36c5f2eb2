package hook

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

const mathPath = "/v1/services/_math._tcp"

func TestPrometheusGetsEveryInstanceWithItsState(t *testing.T) {
	h := start(t, nil)
	const sd = pathSD + "prometheus"
	if a := h.do("GET", sd, ""); a.status != 200 || string(a.body) != "[]\n" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("without instances: %d %s", a.status, a.body)
	}
	h.put(a1, `{"port":9001,"host":"::1","meta":{"version":"1.2","a b":"first","a-b":"second"}}`)
	h.put(mathPath+"/instances/a2", `{"port":9002,"host":"node.example","weight":7}`)
	h.put("/v1/services/_time._udp/instances/a1", `{"port":123}`)
	h.do("PUT", mathPath+"/instances/a2/drain", "")
	groups := decode[[]targetGroup](t, h.do("GET", sd, ""))
	if len(groups) != 3 {
		t.Fatalf("%v", groups)
	}
	for i, want := range []struct {
		target string
		labels map[string]string
	}{
		{"[::1]:9001", map[string]string{"service": "_math._tcp", "id": "a1", "state": "up", "host": "::1", "priority": "10", "weight": "100", "meta_version": "1.2", "meta_a_b": "first"}},
		{"node.example:9002", map[string]string{"service": "_math._tcp", "id": "a2", "state": "drained", "weight": "7"}},
		{"127.0.0.1:123", map[string]string{"service": "_time._udp"}},
	} {
		if g := groups[i]; len(g.Targets) != 1 || g.Targets[0] != want.target {
			t.Errorf("got %v, want %s", g.Targets, want.target)
		}
		for name, value := range want.labels {
			if got := groups[i].Labels["__meta_rollcall_"+name]; got != value {
				t.Errorf("%s: %s is %q, want %q", want.target, name, got, value)
			}
		}
	}
	if one := decode[[]targetGroup](t, h.do("GET", sd+"?service=_time._udp", "")); len(one) != 1 {
		t.Errorf("of one service: %v", one)
	}
	if a := h.do("GET", sd+"?service=_gone._tcp", ""); a.status != 200 || string(a.body) != "[]\n" {
		t.Errorf("of a service that is gone: %d %s", a.status, a.body)
	}
	if a := h.do("GET", sd+"?service=math", ""); a.status != 400 || a.problem(t).Field != "service" {
		t.Errorf("of no service: %d %s", a.status, a.body)
	}
	if a := h.do("HEAD", sd, ""); a.status != 200 || len(a.body) > 0 {
		t.Errorf("HEAD: %d %s", a.status, a.body)
	}
}

func TestTraefikGetsServersThatTakeCalls(t *testing.T) {
	h := start(t, nil)
	const sd = pathSD + "traefik"
	expect := func(query, want string) {
		t.Helper()
		a := h.do("GET", sd+query, "")
		if a.status != 200 || string(a.body) != want+"\n" || !json.Valid(a.body) {
			t.Errorf("%s: %d %swant %s", query, a.status, a.body, want)
		}
	}
	expect("", `{}`)
	expect("?service=_math._tcp", `{"tcp":{"services":{"math":{"loadBalancer":{"servers":[]}}}}}`)
	h.put(a1, `{"port":9001}`)
	h.put(mathPath+"/instances/a2", `{"port":9002,"priority":20}`)
	h.put(mathPath+"/instances/a3", `{"port":9003,"host":"node.example"}`)
	h.put("/v1/services/_time._udp/instances/a1", `{"port":123}`)
	h.put("/v1/services/_web._tcp/instances/a1", `{"port":80}`)
	udp := `"udp":{"services":{"time":{"loadBalancer":{"servers":[{"address":"127.0.0.1:123"}]}}}}`
	expect("", `{"tcp":{"services":{"math":{"loadBalancer":{"servers":[{"address":"127.0.0.1:9001"},{"address":"node.example:9003"}]}},"web":{"loadBalancer":{"servers":[{"address":"127.0.0.1:80"}]}}}},`+udp+`}`)
	expect("?service=_time._udp&scheme=http", `{`+udp+`}`)
	expect("?service=_web._tcp&scheme=https", `{"http":{"services":{"web":{"loadBalancer":{"servers":[{"url":"https://127.0.0.1:80"}]}}}}}`)
	for _, id := range []string{"a1", "a3"} {
		h.do("PUT", mathPath+"/instances/"+id+"/drain", "")
	}
	expect("?service=_math._tcp", `{"tcp":{"services":{"math":{"loadBalancer":{"servers":[{"address":"127.0.0.1:9002"}]}}}}}`)
	if a := h.do("GET", sd+"?scheme=ftp", ""); a.status != http.StatusBadRequest || a.problem(t).Field != "scheme" {
		t.Errorf("a scheme that Traefik does not have: %d %s", a.status, a.body)
	}
}

// The states that dnsd gives by itself.
func TestServersForTraefik(t *testing.T) {
	in := func(port uint16, priority uint16, state registry.State) registry.Standing {
		return registry.Standing{Instance: &registry.Instance{Host: "10.0.0.1", Port: port, Priority: priority, State: state}}
	}
	for name, tt := range map[string]struct {
		instances []registry.Standing
		want      []string
	}{
		"none":                        {nil, nil},
		"suspects behind the others":  {[]registry.Standing{in(1, 0, registry.Suspect), in(2, 5, registry.Up)}, []string{"10.0.0.1:2"}},
		"suspects only":               {[]registry.Standing{in(1, 7, registry.Suspect), in(2, 5, registry.Suspect), in(3, 5, registry.Suspect)}, []string{"10.0.0.1:2", "10.0.0.1:3"}},
		"drained only":                {[]registry.Standing{in(1, 0, registry.Drained)}, nil},
		"unconfirmed ones are alike":  {[]registry.Standing{in(1, 0, registry.Unconfirmed), in(2, 0, registry.Up)}, []string{"10.0.0.1:1", "10.0.0.1:2"}},
		"a better one comes later":    {[]registry.Standing{in(1, 20, registry.Up), in(2, 10, registry.Up), in(3, 20, registry.Up)}, []string{"10.0.0.1:2"}},
		"drained and suspect are two": {[]registry.Standing{in(1, 0, registry.Drained), in(2, 9, registry.Suspect)}, []string{"10.0.0.1:2"}},
	} {
		got := servers(registry.View{Instances: tt.instances}, "")
		same := len(got) == len(tt.want)
		for i := 0; same && i < len(got); i++ {
			same = got[i].Address == tt.want[i] && got[i].URL == ""
		}
		if !same {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
