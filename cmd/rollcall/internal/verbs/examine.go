package verbs

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/metrics"
	"github.com/rollcall-dns/rollcall/register"
)

const (
	// maxSkew is how far clocks may differ. An incarnation is the time of a start: a
	// process on a host whose clock is behind cannot take over an id.
	maxSkew = 5 * time.Second
	// soon is when a certificate has to be renewed.
	soon = 7 * 24 * time.Hour
)

// hook asks one dnsd whether it lives and is ready.
func (e *examination) hook(ctx context.Context, base string) (alive bool) {
	p, err := e.client.Probe(ctx, base, "/healthz")
	if err != nil {
		e.bad("", "%v", err)
		return false
	}
	if p.Status != http.StatusOK {
		e.bad("see the log of dnsd", "hook %s answers %d to /healthz: %s", base, p.Status, p.Detail)
		return false
	}
	e.good("hook %s is alive", base)
	if p.Error > 0 {
		e.clock(base, p.Ahead, p.Error)
	}
	if !p.Expires.IsZero() {
		e.certificate("the certificate of hook "+base, p.Expires, time.Now())
	}
	switch p, err := e.client.Probe(ctx, base, "/readyz"); {
	case err != nil:
		e.bad("", "%v", err)
	case p.Status != http.StatusOK:
		e.bad("its log has the cause; DNS is answered with what it knows", "hook %s is not ready: %s", base, p.Detail)
	default:
		e.good("hook %s is ready: it answers DNS and can store changes", base)
	}
	return true
}

// clock compares the clock of dnsd's host with ours.
func (e *examination) clock(base string, ahead, fault time.Duration) {
	word := "ahead of"
	if ahead < 0 {
		ahead, word = -ahead, "behind"
	}
	if ahead > maxSkew+fault {
		e.bad("set both clocks by NTP: a process that starts where the clock is behind is refused with 409",
			"the clock of %s is %v %s ours", base, ahead.Round(time.Second), word)
		return
	}
	e.good("the clock of %s agrees with ours, within %v", base, (maxSkew + fault).Round(time.Second))
}

// certificate looks at the end of a certificate.
func (e *examination) certificate(what string, expires, now time.Time) {
	const cure = "put the new one into the same files, and send dnsd SIGHUP"
	if expires.Sub(now) < soon {
		e.bad(cure, "%s %s", what, endsAt(expires, now))
		return
	}
	e.good("%s is good until %s", what, expires.Format(time.RFC3339))
}

// endsAt says when a certificate ends, or that it has ended.
func endsAt(expires, now time.Time) string {
	verb := "ends"
	if !expires.After(now) {
		verb = "has ended"
	}
	return verb + " at " + expires.Format(time.RFC3339)
}

// refused says that a right is missing, which is no fault of dnsd.
func (e *examination) refused(what string, err error) bool {
	if hook.IsStatus(err, http.StatusUnauthorized) || hook.IsStatus(err, http.StatusForbidden) {
		e.note("give a token with the right read for all services", "%s not read: %v", what, err)
		return true
	}
	return false
}

// metrics reads what dnsd counts.
func (e *examination) metrics(ctx context.Context) {
	text, err := e.client.Text(ctx, "/metrics")
	if err == nil {
		var m metrics.Samples
		if m, err = metrics.Parse(text); err == nil {
			e.counted(m, time.Now())
			return
		}
	}
	if !e.refused("metrics are", err) {
		e.bad("", "%v", err)
	}
}

// counted judges the metrics, as docs/metrics.md would alert on them.
func (e *examination) counted(m metrics.Samples, now time.Time) {
	is := func(name string, value float64) bool {
		v, ok := m.Sum(name)
		return ok && v == value
	}
	if is("rollcall_config_last_reload_successful", 0) {
		e.bad("correct the file: dnsd -conf FILE -validate says where", "the Corefile is bad since the last reload: the one before is in force, and a restart would fail")
	}
	if is("rollcall_registry_store_sick", 1) {
		e.bad("is the disk full, or was the file replaced? The log of dnsd has the cause", "changes cannot be stored")
	}
	if is("rollcall_cluster_stale", 1) {
		e.bad("is the store up, and is the network to it whole?", "this dnsd cannot reach the shared store, and its content may be old")
	}
	if v, ok := m.Sum("rollcall_hook_certificate_expiry_timestamp_seconds"); ok {
		e.certificate("the certificate in dnsd's configuration", time.Unix(int64(v), 0), now)
	}
	held := m.By("rollcall_registry_guard_held_instances", "service")
	for _, service := range slices.Sorted(maps.Keys(held)) {
		if n := held[service]; n > 0 {
			e.bad("is the network between them and dnsd whole? If they are dead: rollcall guard release "+service,
				"the guard keeps %.0f silent instances of %s in DNS", n, service)
		}
	}
	e.serials = map[string]uint32{}
	for zone, serial := range m.By("rollcall_zone_serial", "zone") {
		e.zones = append(e.zones, zone)
		e.serials[zone] = uint32(serial)
	}
	slices.Sort(e.zones)
	if len(e.zones) > 0 {
		e.good("dnsd publishes the zones %s", strings.Join(e.zones, " "))
	}
}

// cluster asks for the members.
func (e *examination) cluster(ctx context.Context) {
	var c register.Cluster
	if err := e.client.Do(ctx, http.MethodGet, "/v1/cluster", nil, &c); err != nil {
		if !e.refused("the cluster is", err) {
			e.bad("", "%v", err)
		}
		return
	}
	e.members(c, time.Now())
}

// members judges a cluster.
func (e *examination) members(c register.Cluster, now time.Time) {
	if len(c.Members) < 2 && c.Etcd == nil {
		e.note("", "this dnsd shares its registry with no other: while it is away, nothing can be registered")
		return
	}
	wrong := len(e.findings)
	if c.Writer == "" {
		e.bad("it is elected within seconds; if not, see the members below", "no dnsd can write: registrations are refused")
	}
	for _, m := range c.Members {
		if m.Error != "" {
			e.bad("start it, or remove it for good: rollcall cluster remove "+m.Name, "member %s: %s", m.Name, m.Error)
		}
		if ends := m.CertificateEnds; !ends.IsZero() && ends.Sub(now) < soon {
			e.bad("put the new one into the same files: they are read for each connection", "the certificate that member %s shows to the store %s", m.Name, endsAt(ends, now))
		}
	}
	if c.Etcd != nil {
		if c.Etcd.Error != "" {
			e.bad("see docs/cluster.md", "the store of the cluster: %s", c.Etcd.Error)
		}
		for _, m := range c.Etcd.Members {
			if m.Error != "" {
				e.bad("start it, or remove it for good", "server %s of etcd: %s", m.Name, m.Error)
			}
		}
		if c.Etcd.Quota > 0 && c.Etcd.Bytes > c.Etcd.Quota/10*9 {
			e.bad("compact and defragment it, or raise its quota", "the store of the cluster has %s of %s", size(c.Etcd.Bytes), size(c.Etcd.Quota))
		}
	}
	if len(e.findings) == wrong {
		e.good("the cluster has %d members, and %s writes", len(c.Members), c.Writer)
	}
	e.releases(c.Members)
}

// releases looks for members of other versions. They work together, so that is no fault.
func (e *examination) releases(members []register.ClusterMember) {
	var each, versions, known []string
	for _, m := range members {
		if m.Version != "" {
			each, versions = append(each, m.Name+" has "+m.Version), append(versions, m.Version)
		}
		known = append(known, m.Knows...)
	}
	slices.Sort(versions)
	if len(slices.Compact(versions)) > 1 {
		e.note("upgrade one after the other, the writer last: docs/cluster.md", "the members have different versions: %s", strings.Join(each, ", "))
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, m := range members {
		for _, word := range known {
			if m.Version != "" && !slices.Contains(m.Knows, word) {
				e.note("upgrade it; until then, let no instance ask for that", "member %s does not know %s: it publishes an instance that asks for it as one that does not", m.Name, word)
			}
		}
	}
}

// registered looks at the instances.
func (e *examination) registered(ctx context.Context) {
	var all register.Services
	if err := e.client.Do(ctx, http.MethodGet, "/v1/services", nil, &all); err != nil {
		if !e.refused("services are", err) {
			e.bad("", "%v", err)
		}
		return
	}
	total := 0
	for _, s := range all.Services {
		total += len(s.Instances)
		n := map[register.InstanceState]int{}
		for _, p := range s.Instances {
			n[p.State]++
		}
		if n[register.InstanceDrained] == len(s.Instances) {
			e.bad("rollcall undrain "+s.Service+" ID puts one back", "all %d instances of %s are drained: the service is not in DNS", len(s.Instances), s.Service)
		}
	}
	e.good("%d services with %d instances are registered", len(all.Services), total)
}

// Tests: doctor_test.go, script_test.go.
