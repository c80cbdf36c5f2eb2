package debugrollcall

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"github.com/rollcall-dns/rollcall/rpcserver/shed"
)

// view is what the page shows, as ?format=json gives it.
type view struct {
	Time    time.Time    `json:"time"`
	Clients []clientView `json:"clients"` // each list by name
	Servers []serverView `json:"servers"`
	Limits  []limitView  `json:"limits"`
}

type clientView struct {
	Name    string          `json:"name"`
	Service string          `json:"service"`
	Page    string          `json:"page"` // the client's own, relative
	Nodes   string          `json:"-"`    // for people: "3 healthy, 1 down"
	Stats   rpcclient.Stats `json:"stats"`
}

type serverView struct {
	Name          string             `json:"name"`
	Addr          string             `json:"addr,omitempty"`        // empty: it does not listen yet
	NotServing    map[string]string  `json:"not_serving,omitempty"` // receiver ("": the whole server) -> why
	Registrations []registrationView `json:"registrations"`
	Stats         rpcserver.Stats    `json:"stats"`
}

type registrationView struct {
	Service   string    `json:"service"`
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Hook      string    `json:"hook,omitempty"`
	Addr      string    `json:"addr,omitempty"` // in DNS
	Confirmed time.Time `json:"confirmed,omitzero"`
	Failures  uint64    `json:"failures"`
	Error     string    `json:"error,omitempty"`
}

type limitView struct {
	Name  string     `json:"name"`
	Stats shed.Stats `json:"stats"`
}

func (p *Page) view(now time.Time) view {
	v := view{Time: now, Clients: []clientView{}, Servers: []serverView{}, Limits: []limitView{}}
	for _, name := range slices.Sorted(maps.Keys(p.Clients)) {
		if c := p.Clients[name]; c != nil {
			stats := c.Stats()
			v.Clients = append(v.Clients, clientView{name, c.Service(), linkTo(name), nodes(stats.Nodes), stats})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Servers)) {
		if s := p.Servers[name]; s != nil {
			v.Servers = append(v.Servers, serverOf(name, s))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Limits)) {
		if l := p.Limits[name]; l != nil {
			v.Limits = append(v.Limits, limitView{name, l.Stats()})
		}
	}
	return v
}

func serverOf(name string, s *rpcserver.Server) serverView {
	v := serverView{Name: name, NotServing: s.NotServing(), Registrations: []registrationView{}, Stats: s.Stats()}
	if addr := s.Addr(); addr != nil {
		v.Addr = addr.String()
	}
	for _, l := range s.Leases() {
		v.Registrations = append(v.Registrations, registrationOf(l.Status()))
	}
	return v
}

func registrationOf(s register.Status) registrationView {
	v := registrationView{
		Service: s.Service, ID: s.ID, State: s.State.String(), Hook: s.Hook,
		Confirmed: s.Confirmed, Failures: s.Failures,
	}
	if s.Published.Port != 0 {
		v.Addr = net.JoinHostPort(s.Published.Host, strconv.Itoa(int(s.Published.Port)))
	}
	if s.Err != nil {
		v.Error = s.Err.Error()
	}
	return v
}

// nodes says in words how many nodes have which standing.
func nodes(all []rpcclient.NodeStats) string {
	count := map[string]int{}
	for _, n := range all {
		if n.Standing == "" {
			n.Standing = "finishing"
		}
		count[n.Standing]++
	}
	if len(count) == 0 {
		return "none"
	}
	var words []string
	for _, standing := range slices.Sorted(maps.Keys(count)) {
		words = append(words, fmt.Sprint(count[standing], " ", standing))
	}
	return strings.Join(words, ", ")
}

// Tests: page_test.go.
