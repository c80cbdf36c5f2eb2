package hook

import (
	"encoding/json"
	"iter"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// asked is what a program that discovers its targets here asks for.
type asked struct {
	revision uint64
	services iter.Seq[registry.View] // it may be gone through more than once
	query    func(name string) string
}

// ask checks such a request: a service that does not exist has no instances, and is no error, because
// the programs keep what they had after one. It returns nil without an error if the answer
// is complete without a body.
func (x *exchange) ask(known ...string) (*asked, *pieces, error) {
	q, err := x.query(append(known, "service")...)
	if err != nil {
		return nil, nil, err
	}
	service := q.Get("service")
	if service != "" {
		if err := registry.CheckService(service); err != nil {
			return nil, nil, err
		}
	}
	if err := x.mayRead(service); err != nil {
		return nil, nil, err
	}
	p, err := x.pieces(service)
	if err != nil {
		return nil, nil, err
	}
	a := &asked{query: q.Get}
	if service == "" {
		a.revision, a.services = x.st.registry.Services()
	} else {
		view, ok := x.st.registry.Service(service)
		view.Service = service
		if a.revision = view.Revision; !ok {
			a.revision = x.st.registry.Revision()
		}
		a.services = func(yield func(registry.View) bool) { yield(view) }
	}
	x.revision(a.revision)
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache")
	return a, p, nil
}

// targetGroup is one instance as Prometheus reads it (http_sd_config).
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// prometheusTargets lists all instances, the drained ones too: they run. Their state is a
// label.
func (x *exchange) prometheusTargets() error {
	a, p, err := x.ask()
	if err != nil {
		return err
	}
	defer p.finish()
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	_ = p.out.WriteByte('[') // a bufio.Writer keeps its first error
	comma := ""
	for v := range a.services {
		for _, in := range v.Instances {
			one, err := json.Marshal(targetGroup{[]string{address(in)}, targetLabels(in)})
			if err != nil {
				return err
			}
			_, _ = p.out.WriteString(comma)
			if _, err := p.out.Write(one); err != nil {
				return err
			}
			comma = ","
		}
	}
	_, _ = p.out.WriteString("]\n")
	return p.end()
}

func address(in registry.Standing) string {
	return net.JoinHostPort(strings.TrimSuffix(in.Host, "."), strconv.Itoa(int(in.Port)))
}

func targetLabels(in registry.Standing) map[string]string {
	const prefix = "__meta_rollcall_"
	labels := map[string]string{
		prefix + "service":  in.Key.Service,
		prefix + "id":       in.ID,
		prefix + "host":     in.Host,
		prefix + "state":    in.Shown().String(),
		prefix + "priority": strconv.Itoa(int(in.Priority)),
		prefix + "weight":   strconv.Itoa(int(in.Weight)),
	}
	keys := make([]string, 0, len(in.Meta))
	for key := range in.Meta {
		keys = append(keys, key)
	}
	slices.Sort(keys) // of keys that become one label the first counts
	for _, key := range keys {
		label := prefix + "meta_" + strings.Map(func(r rune) rune {
			if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
				return r
			}
			return '_'
		}, key)
		if _, ok := labels[label]; !ok {
			labels[label] = in.Meta[key]
		}
	}
	return labels
}

type (
	// traefikService is one service of Traefik's dynamic configuration.
	traefikService struct {
		LoadBalancer struct {
			Servers []traefikServer `json:"servers"`
		} `json:"loadBalancer"`
	}
	traefikServer struct {
		URL     string `json:"url,omitempty"`     // for HTTP
		Address string `json:"address,omitempty"` // for TCP and UDP
	}
)

// traefikConfig is the dynamic configuration for Traefik's HTTP provider: services without
// routers, because only the operator knows which requests go where. A section without
// services is left out: Traefik takes it for a mistake.
func (x *exchange) traefikConfig() error {
	a, p, err := x.ask("scheme")
	if err != nil {
		return err
	}
	defer p.finish()
	scheme := a.query("scheme")
	if scheme != "" && scheme != "http" && scheme != "https" && scheme != "h2c" {
		return refuse(http.StatusBadRequest, "scheme", "scheme %.64q: expected http, https, h2c, or none for TCP", scheme)
	}
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	tcp := "tcp"
	if scheme != "" {
		tcp = "http"
	}
	_ = p.out.WriteByte('{') // a bufio.Writer keeps its first error
	comma := ""
	for _, section := range []struct{ name, ending, scheme string }{{tcp, "._tcp", scheme}, {"udp", "._udp", ""}} {
		open := false
		for v := range a.services {
			name, ok := strings.CutSuffix(v.Service, section.ending)
			if !ok {
				continue
			}
			if !open {
				_, _ = p.out.WriteString(comma + `"` + section.name + `":{"services":{`)
				open, comma = true, ""
			}
			var s traefikService
			s.LoadBalancer.Servers = servers(v, section.scheme)
			one, err := json.Marshal(s)
			if err != nil {
				return err
			}
			_, _ = p.out.WriteString(comma + `"` + strings.TrimPrefix(name, "_") + `":`)
			if _, err := p.out.Write(one); err != nil {
				return err
			}
			comma = ","
		}
		if open {
			_, _ = p.out.WriteString("}}")
			comma = ","
		}
	}
	_, _ = p.out.WriteString("}\n")
	return p.end()
}

// servers returns those of a service that a client would use that knows no priorities: not
// the drained ones, the suspects only without others, and of them the lowest priority.
func servers(v registry.View, scheme string) []traefikServer {
	use := func(suspects bool) []traefikServer {
		all, best := []traefikServer{}, -1
		for _, in := range v.Instances {
			if in.Shown() == registry.Drained || (in.State == registry.Suspect) != suspects || best >= 0 && int(in.Priority) > best {
				continue
			}
			if int(in.Priority) < best {
				all = all[:0]
			}
			best = int(in.Priority)
			if scheme != "" {
				all = append(all, traefikServer{URL: scheme + "://" + address(in)})
			} else {
				all = append(all, traefikServer{Address: address(in)})
			}
		}
		return all
	}
	if live := use(false); len(live) > 0 {
		return live
	}
	return use(true)
}
