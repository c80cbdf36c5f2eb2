package resolver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// peerSizes are the record set sizes served by real name servers: one, about
// what fits into UDP with and without glue, and what needs TCP.
var peerSizes = []int{1, 2, 10, 23, 24, 34, 35, 100, 1000}

// peers are name servers of other hands and how to start them. The configuration's
// verbs: 1 the directory, where the zone file svc.zone is, 2 the port.
var peers = []struct {
	name   string
	args   []string // after them: the configuration file
	config string
}{
	{"nsd", []string{"-d", "-c"}, `server:
	ip-address: 127.0.0.1@%[2]d
	server-count: 1
	username: ""
	pidfile: ""
	zonesdir: "%[1]s"
	zonelistfile: "%[1]s/zone.list"
	xfrdfile: "%[1]s/xfrd.state"
	xfrdir: "%[1]s"
	rrl-ratelimit: 0
remote-control:
	control-enable: no
zone:
	name: svc
	zonefile: svc.zone
`},
	{"knotd", []string{"-c"}, `server:
    rundir: "%[1]s"
    listen: 127.0.0.1@%[2]d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "%[1]s"
zone:
  - domain: svc
    storage: "%[1]s"
    file: svc.zone
`},
}

// TestRealNameServersAreUnderstood compares what Lookup says with what the zone
// file says.
func TestRealNameServersAreUnderstood(t *testing.T) {
	t.Parallel()
	addrs := freeaddr.Take(len(peers))
	for i, peer := range peers {
		t.Run(peer.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			truth := peerZone(t, dir)
			conf := write(t, dir, "peer.conf", fmt.Sprintf(peer.config, dir, addrs[i].Port()))
			peertest.Start(t, dir, peer.name, append(slices.Clone(peer.args), conf)...)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			r := &Resolver{Servers: []string{addrs[i].String()}, MinTTL: 20 * time.Millisecond}
			ready := false
			for state := range r.Watch(ctx, "_s1._tcp.svc") { // retries until the server is up
				if ready = len(state.Endpoints) > 0; ready {
					break
				}
			}
			if !ready {
				t.Fatalf("%s is not up", peer.name)
			}
			for _, n := range peerSizes {
				name := fmt.Sprintf("_s%d._tcp.svc.", n)
				got, err := r.Lookup(ctx, name)
				if err != nil {
					t.Error(err)
					continue
				}
				want := State{Endpoints: truth[name]}
				if !want.sameNews(State{Endpoints: got.Endpoints}) {
					t.Errorf("%s: %d endpoints, not as in the zone file (%d)", name, len(got.Endpoints), len(want.Endpoints))
				}
				if got.TTL != 60*time.Second {
					t.Errorf("%s: TTL %v, want 60s", name, got.TTL)
				}
			}
			state, err := r.Lookup(ctx, "_none._tcp.svc")
			if !errors.Is(err, ErrNoSuchName) || state.TTL != 7*time.Second {
				t.Errorf("_none: %v, TTL %v, want no such name for 7s", err, state.TTL)
			}
			if _, err := r.Lookup(ctx, "_closed._tcp.svc"); !errors.Is(err, ErrNotOffered) {
				t.Errorf("_closed: %v, want not offered", err)
			}
			if _, err := r.Lookup(ctx, "_math._tcp.example"); err == nil || !strings.Contains(err.Error(), "(REFUSED)") {
				t.Errorf("another zone: %v, want REFUSED", err)
			}
		})
	}
}

// peerZone writes svc.zone and gives the endpoints of each name in it.
func peerZone(t *testing.T, dir string) map[string][]Endpoint {
	t.Helper()
	var b strings.Builder
	b.WriteString("$ORIGIN svc.\n$TTL 60\n@ SOA ns host 1 60 60 60 7\n@ NS ns\nns A 127.0.0.1\n_closed._tcp SRV 0 0 0 .\n")
	truth := map[string][]Endpoint{}
	for _, n := range peerSizes {
		name := fmt.Sprintf("_s%d._tcp", n)
		var eps []Endpoint
		for i := range n {
			target, addr := fmt.Sprintf("i%d.s%d.tcp", i, n), fmt.Sprintf("10.%d.%d.%d", n%250, i/250, i%250+1)
			ep := Endpoint{Addr: fmt.Sprintf("%s:%d", addr, 8000+i), Target: target + ".svc.", Priority: uint16(i % 3), Weight: uint16(i)}
			fmt.Fprintf(&b, "%s SRV %d %d %d %s\n%s A %s\n", name, ep.Priority, ep.Weight, 8000+i, target, target, addr)
			eps = append(eps, ep)
		}
		truth[name+".svc."] = arrange(slices.Clone(eps))
	}
	write(t, dir, "svc.zone", b.String())
	return truth
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
