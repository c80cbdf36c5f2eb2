package verbs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/metrics"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/view"
	"github.com/rollcall-dns/rollcall/register"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// TestADoctorFindsWhatIsWrong: each fault has a line, and what is well has none that is BAD.
func TestADoctorFindsWhatIsWrong(t *testing.T) {
	count := func(text string) func(*examination) {
		return func(e *examination) {
			m, err := metrics.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			e.counted(m, noon)
		}
	}
	zone := func(z view.Zone, needed bool) func(*examination) {
		return func(e *examination) {
			e.serials = map[string]uint32{"svc.": 7}
			e.server(z, "-server", "svc.", needed)
		}
	}
	one := register.ClusterMember{Name: "a"}
	for name, tc := range map[string]struct {
		examine func(*examination)
		level   string
		what    string // part of the finding
	}{
		"clock":         {func(e *examination) { e.clock("x", 3*time.Second, time.Second) }, good, "agrees with ours, within 6s"},
		"clock ahead":   {func(e *examination) { e.clock("x", time.Minute, time.Second) }, bad, "the clock of x is 1m0s ahead of ours"},
		"clock behind":  {func(e *examination) { e.clock("x", -time.Hour, time.Second) }, bad, "the clock of x is 1h0m0s behind ours"},
		"certificate":   {func(e *examination) { e.certificate("c", noon.Add(30*24*time.Hour), noon) }, good, "c is good until 2026-12-28T12:00:00Z"},
		"ends soon":     {func(e *examination) { e.certificate("c", noon.Add(time.Hour), noon) }, bad, "c ends at"},
		"has ended":     {func(e *examination) { e.certificate("c", noon.Add(-time.Hour), noon) }, bad, "c has ended at"},
		"healthy":       {count("rollcall_config_last_reload_successful 1\nrollcall_registry_store_sick 0\nrollcall_zone_serial{zone=\"svc.\"} 7\n"), good, "dnsd publishes the zones svc."},
		"bad Corefile":  {count("rollcall_config_last_reload_successful 0\n"), bad, "the Corefile is bad since the last reload"},
		"sick store":    {count("rollcall_registry_store_sick 1\n"), bad, "changes cannot be stored"},
		"stale":         {count("rollcall_cluster_stale 1\n"), bad, "cannot reach the shared store"},
		"guard":         {count("rollcall_registry_guard_held_instances{service=\"_math._tcp\"} 3\n"), bad, "the guard keeps 3 silent instances of _math._tcp in DNS"},
		"metric of TLS": {count("rollcall_hook_certificate_expiry_timestamp_seconds 1\n"), bad, "the certificate in dnsd's configuration has ended"},
		"alone": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Members: []register.ClusterMember{one}}, noon)
		}, note, "shares its registry with no other"},
		"no writer": {func(e *examination) { e.members(register.Cluster{Members: []register.ClusterMember{one, one}}, noon) }, bad, "no dnsd can write"},
		"cluster": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Members: []register.ClusterMember{one, one}}, noon)
		}, good, "the cluster has 2 members, and a writes"},
		"member away": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Members: []register.ClusterMember{one, {Name: "b", Error: "refused"}}}, noon)
		}, bad, "member b: refused"},
		"member's certificate": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Members: []register.ClusterMember{one, {Name: "b", CertificateEnds: noon.Add(time.Hour)}}}, noon)
		}, bad, "member b shows to the store ends at 2026-11-28T13:00:00Z"},
		"certificate that lasts": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Members: []register.ClusterMember{one, {Name: "b", CertificateEnds: noon.Add(30 * 24 * time.Hour)}}}, noon)
		}, good, "the cluster has 2 members"},
		"one version": {func(e *examination) {
			same := register.ClusterMember{Name: "a", Version: "v1", Knows: []string{"drain"}}
			e.members(register.Cluster{Writer: "a", Members: []register.ClusterMember{same, same, {Name: "away"}}}, noon)
		}, good, "the cluster has 3 members"},
		"versions": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Members: []register.ClusterMember{{Name: "a", Version: "v2"}, {Name: "b", Version: "v1"}}}, noon)
		}, note, "the members have different versions: a has v2, b has v1"},
		"words": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Members: []register.ClusterMember{{Name: "a", Version: "v1", Knows: []string{"drain"}}, {Name: "b", Version: "v1"}}}, noon)
		}, note, "member b does not know drain"},
		"store away": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Etcd: &register.ClusterEtcd{Error: "no leader"}}, noon)
		}, bad, "the store of the cluster: no leader"},
		"full store": {func(e *examination) {
			e.members(register.Cluster{Writer: "a", Etcd: &register.ClusterEtcd{Bytes: 95 << 20, Quota: 100 << 20}}, noon)
		}, bad, "has 95 MiB of 100 MiB"},
		"zone":            {zone(view.Zone{Server: "s", Found: true, Serial: 8}, true), good, "DNS server s (-server) finds zone svc., serial 8"},
		"zone behind":     {zone(view.Zone{Server: "s", Found: true, Serial: 5}, true), note, "is 2 changes behind dnsd in zone svc."},
		"no zone":         {zone(view.Zone{Server: "s", Rcode: "NXDOMAIN"}, true), bad, "answers NXDOMAIN for zone svc.: programs that ask it do not find services"},
		"no zone, system": {zone(view.Zone{Server: "s", Rcode: "NXDOMAIN"}, false), note, "clients of Rollcall ask those of ROLLCALL_DNS instead"},
		"not named": {func(e *examination) {
			e.server(view.Zone{Server: "s", Rcode: "NXDOMAIN"}, view.SystemFile, "svc.", true)
		}, bad, "DNS server s (/etc/resolv.conf) answers NXDOMAIN"},
		"silent": {zone(view.Zone{Server: "s", Error: "refused"}, true), bad, "does not answer: refused"},
	} {
		e := &examination{}
		tc.examine(e)
		last := finding{}
		if len(e.findings) > 0 {
			last = e.findings[len(e.findings)-1]
		}
		if last.Level != tc.level || !strings.Contains(last.What, tc.what) {
			t.Errorf("%s: got %+v, want %s %q", name, e.findings, tc.level, tc.what)
		}
		if last.Level == bad && last.Cure == "" {
			t.Errorf("%s: there is no cure", name)
		}
		if told := strings.Contains(last.Cure, "set ROLLCALL_DNS"); told != (name == "not named") {
			t.Errorf("%s: the cure is %q", name, last.Cure)
		}
	}
}

func TestAMissingRightIsNoFault(t *testing.T) {
	e := &examination{}
	if !e.refused("metrics are", &register.Problem{Status: 403}) || e.refused("metrics are", errors.New("broken")) || len(e.findings) != 1 || e.findings[0].Level != note {
		t.Errorf("got %+v", e.findings)
	}
}
