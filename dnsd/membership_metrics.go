package dnsd

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clusterMetrics shows a membership under /metrics.
type clusterMetrics struct{ *membership }

// alarms of etcd that are shown while they are not raised, too.
var alarms = []string{"NOSPACE", "CORRUPT"}

var (
	alarmDesc = prometheus.NewDesc("rollcall_cluster_store_alarm",
		"1 while the store has raised this alarm, else 0.", []string{"alarm"}, nil)
	bytesDesc = prometheus.NewDesc("rollcall_cluster_store_bytes",
		"Size of the store's database.", nil, nil)
	quotaDesc = prometheus.NewDesc("rollcall_cluster_store_quota_bytes",
		"The most that the store's database may have, if the store says so.", nil, nil)
	storeCertDesc = prometheus.NewDesc("rollcall_cluster_certificate_expiry_timestamp_seconds",
		"When the certificate ends that this dnsd shows to etcd, or to the other peers, as seconds since 1970; 0 if it cannot be read.", nil, nil)
	writerDesc = prometheus.NewDesc("rollcall_cluster_writer",
		"1 if this dnsd is the writer, else 0.", nil, nil)
	membersDesc = prometheus.NewDesc("rollcall_cluster_members",
		"Dnsd that share the store, as this one sees it.", nil, nil)
	lagDesc = prometheus.NewDesc("rollcall_cluster_lag_revisions",
		"Revisions that the store has and this dnsd does not have yet.", nil, nil)
	staleDesc = prometheus.NewDesc("rollcall_cluster_stale",
		"1 if the content of this dnsd may be old, because the store does not answer, else 0.", nil, nil)
	silentDesc = prometheus.NewDesc("rollcall_cluster_store_silent_seconds",
		"Time since the store answered last.", nil, nil)
	forwardedDesc = prometheus.NewDesc("rollcall_cluster_forwarded_total",
		"Operations that were passed on to the writer, renewals included.", nil, nil)
	refusingDesc = prometheus.NewDesc("rollcall_cluster_writes_refused",
		"1 since a write was refused because it did not reach a writer, until one does, else 0.", nil, nil)
	electionsDesc = prometheus.NewDesc("rollcall_cluster_elections_won_total",
		"How often this dnsd became the writer.", nil, nil)
)

// Describe implements prometheus.Collector.
func (clusterMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{writerDesc, membersDesc, lagDesc, staleDesc, silentDesc, forwardedDesc, refusingDesc, electionsDesc, alarmDesc, bytesDesc, quotaDesc, storeCertDesc} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m clusterMetrics) Collect(c chan<- prometheus.Metric) {
	h := m.member.Health()
	show := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		c <- prometheus.MustNewConstMetric(d, kind, v)
	}
	flag := map[bool]float64{true: 1}
	show(writerDesc, prometheus.GaugeValue, flag[h.Writer])
	show(membersDesc, prometheus.GaugeValue, float64(len(m.member.Peers())))
	show(lagDesc, prometheus.GaugeValue, float64(h.Lag))
	show(staleDesc, prometheus.GaugeValue, flag[h.Stale])
	show(silentDesc, prometheus.GaugeValue, h.Silent.Seconds())
	show(forwardedDesc, prometheus.CounterValue, float64(m.writes.Forwarded()))
	show(refusingDesc, prometheus.GaugeValue, flag[m.writes.Refusing()])
	show(electionsDesc, prometheus.CounterValue, float64(m.won.Load()))
	store := m.member.Store()
	for _, a := range alarms {
		c <- prometheus.MustNewConstMetric(alarmDesc, prometheus.GaugeValue, flag[strings.Contains(store.Alarm, a)], a)
	}
	if store.Size > 0 {
		show(bytesDesc, prometheus.GaugeValue, float64(store.Size))
	}
	if store.Quota > 0 {
		show(quotaDesc, prometheus.GaugeValue, float64(store.Quota))
	}
	if m.cfg.TLS.Cert != "" {
		seconds := 0.0
		if ends := m.certificateEnds(); !ends.IsZero() {
			seconds = float64(ends.Unix())
		}
		show(storeCertDesc, prometheus.GaugeValue, seconds)
	}
}

// certificateEnds is when the certificate ends that this dnsd shows to etcd, or to the
// other peers. It is zero if there is none, or if it cannot be read.
func (m *membership) certificateEnds() time.Time {
	if m.cfg.TLS.Cert == "" {
		return time.Time{}
	}
	return certificateEnd(m.cfg.TLS.Cert)
}

// certificateEnd is when the certificate in a file ends; zero: it cannot be read, so the
// next connection fails. Stores read the file for each connection, so what counts is what
// is there now.
func certificateEnd(file string) time.Time {
	text, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		leaf, err := x509.ParseCertificate(block.Bytes) // the first is the server's own
		if err != nil {
			return time.Time{}
		}
		return leaf.NotAfter
	}
	return time.Time{}
}
