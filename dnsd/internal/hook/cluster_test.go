package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/release"
	"github.com/rollcall-dns/rollcall/register"
)

// members are dnsd that share the registry.
type members struct {
	status register.Cluster
	err    error // of all calls

	mu     sync.Mutex
	change []string
}

func (m *members) Status(context.Context) (register.Cluster, error) { return m.status, m.err }

func (m *members) AddMember(_ context.Context, name, peer string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change = append(m.change, "add "+name+" "+peer)
	return m.err
}

func (m *members) RemoveMember(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change = append(m.change, "remove "+name)
	return m.err
}

func TestClusterOfOneIsItself(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"name":%[1]q,"writer":%[1]q,"members":[{"name":%[1]q,"role":"writer","revision":1,"hook":%[2]q,"version":%[3]q}]}`, name, h.URL(), release.Rollcall())
	if a := h.do("GET", "/v1/cluster", ""); a.status != 200 || string(a.body) != want+"\n" {
		t.Errorf("%d %s, want %s", a.status, a.body, want)
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/cluster/members", `{"name":"d","peer":"https://10.0.0.4:2380"}`},
		{"DELETE", "/v1/cluster/members/b", ""},
	} {
		if p := h.do(c.method, c.path, c.body).problem(t); p.Status != 501 || !strings.Contains(p.Detail, "store cluster") {
			t.Errorf("%s %s: %+v", c.method, c.path, p)
		}
	}
	h.cfg.Ready = func() error { return errors.New("the zone is loading") }
	if err := h.Update(h.cfg); err != nil {
		t.Fatal(err)
	}
	if c := decode[register.Cluster](t, h.do("GET", "/v1/cluster", "")); c.Members[0].Error != "not ready: the zone is loading" {
		t.Errorf("%+v", c)
	}
}

func TestClusterShowsItsMembers(t *testing.T) {
	m := &members{status: register.Cluster{Name: "b", Writer: "a", Members: []register.ClusterMember{
		{Name: "a", Role: register.ClusterWriter, Revision: 12, Hook: "http://10.0.0.1:8053", Address: "10.0.0.1:8054"},
		{Name: "b", Role: register.ClusterFollower, Revision: 10, Hook: "http://10.0.0.2:8053", Address: "10.0.0.2:8054", Lag: 2},
	}, Etcd: &register.ClusterEtcd{Inside: true, Version: "3.7.3"}}}
	h := start(t, func(c *Config, _ *registry.Config) { c.Cluster = m })
	a := h.do("GET", "/v1/cluster", "")
	want, err := json.Marshal(m.status)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != 200 || string(a.body) != string(want)+"\n" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	m.status = register.Cluster{}
	if a := h.do("GET", "/v1/cluster", ""); !strings.Contains(string(a.body), `"members":[]`) {
		t.Errorf("no members are no list: %s", a.body)
	}
}

func TestMembersAreAddedAndRemoved(t *testing.T) {
	m := &members{}
	h := start(t, func(c *Config, _ *registry.Config) { c.Cluster = m })
	const body = `{"name":"d","peer":"https://10.0.0.4:2380"}`
	if a := h.do("POST", "/v1/cluster/members", body); a.status != 201 || string(a.body) != body+"\n" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := h.do("DELETE", "/v1/cluster/members/b", ""); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := strings.Join(m.change, ", "); got != "add d https://10.0.0.4:2380, remove b" {
		t.Errorf("asked for %s", got)
	}
	for _, want := range []string{
		`what="add member" object=d host=https://10.0.0.4:2380 result=added status=201`,
		`what="remove member" object=b result=removed status=204`,
	} {
		if !strings.Contains(h.audit.String(), want) {
			t.Errorf("the audit log lacks %s:\n%s", want, h.audit)
		}
	}
	for body, field := range map[string]string{
		`{"name":"d"}`: "peer", `{"peer":"https://10.0.0.4:2380"}`: "name", `{"name":"d","peer":"x","role":"writer"}`: "role",
		`{"name":4,"peer":"x"}`: "name", "": "",
	} {
		if p := h.do("POST", "/v1/cluster/members", body).problem(t); p.Status != 400 || p.Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if len(m.change) != 2 {
		t.Errorf("asked for %v", m.change)
	}
}

func TestRefusedMembersSayWhy(t *testing.T) {
	m := &members{}
	h := start(t, func(c *Config, _ *registry.Config) { c.Cluster = m })
	for _, c := range []struct {
		err    error
		status int
		detail string
	}{
		{fmt.Errorf("%w: the members are a, b, c", ErrNoMember), 404, "no such member (the members are a, b, c)"},
		{ErrMemberExists, 409, "there already: give another name"},
		{ErrNotInside, 501, "change the servers of etcd with etcdctl"},
		{fmt.Errorf("%w: 1 of 3 answers", ErrNotNow), 503, "(1 of 3 answers): try again"},
		{&registry.FieldError{Field: "peer", Value: "x", Problem: "must be a URL"}, 400, `peer "x": must be a URL`},
		{fmt.Errorf("%w: no leader", registry.ErrStore), 503, "takes no changes now (no leader): try again"},
		{fmt.Errorf("member: %w", registry.ErrNoSpace), 507, "raise its quota"},
		{errors.New("secret path"), 500, "its log has the cause"},
	} {
		m.err = c.err
		for _, p := range []register.Problem{
			h.do("POST", "/v1/cluster/members", `{"name":"d","peer":"https://10.0.0.4:2380"}`).problem(t),
			h.do("DELETE", "/v1/cluster/members/b", "").problem(t),
		} {
			if p.Status != c.status || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("%v: %d %s", c.err, p.Status, p.Detail)
			}
		}
	}
}

// The causes of a store that is shared are shown to those that may write.
func TestSharedStoreSaysWhyItTakesNoChanges(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) { c.Cluster = &members{} })
	h.follows(&remote{err: fmt.Errorf("%w: etcd has no leader", registry.ErrStore)})
	a := h.do("PUT", a1, `{"port":1}`)
	if p := a.problem(t); p.Status != 503 || a.header.Get("Retry-After") != "1" || !strings.Contains(p.Detail, "(etcd has no leader)") {
		t.Errorf("%+v", p)
	}
}
