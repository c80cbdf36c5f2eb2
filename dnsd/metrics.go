package dnsd

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
)

// dnsMetrics shows the counts of a block's name servers under /metrics of its
// hook. They are read at each scrape, so that an answer costs nothing more.
type dnsMetrics struct{ block *block }

var (
	answersDesc = prometheus.NewDesc("rollcall_dns_answers_total",
		"Answers given, by transport, type and rcode.", []string{"listener", "transport", "type", "rcode"}, nil)
	eventsDesc = prometheus.NewDesc("rollcall_dns_events_total",
		"What happened to queries besides an answer, and to answers on their way.", []string{"listener", "event"}, nil)
	connsDesc = prometheus.NewDesc("rollcall_dns_tcp_connections",
		"TCP and TLS connections open now.", []string{"listener"}, nil)
	latencyDesc = prometheus.NewDesc("rollcall_dns_answer_seconds",
		"Time from receiving a query to sending its answer, sampled.", []string{"listener"}, nil)
	sessionsDesc = prometheus.NewDesc("rollcall_dns_push_sessions",
		"Sessions of clients that follow the zones now.", []string{"listener"}, nil)
	subscriptionsDesc = prometheus.NewDesc("rollcall_dns_push_subscriptions",
		"Record sets that clients follow now.", []string{"listener"}, nil)
	pushesDesc = prometheus.NewDesc("rollcall_dns_push_messages_total",
		"Messages with changes, or with a whole set, sent to clients that follow.", []string{"listener"}, nil)
	pushEventsDesc = prometheus.NewDesc("rollcall_dns_push_events_total",
		"What happened to sessions.", []string{"listener", "event"}, nil)
	secondaryDesc = prometheus.NewDesc("rollcall_dns_secondary_events_total",
		"Transfers and NOTIFY by secondary, of 50; the others together have no address.", []string{"listener", "secondary", "event"}, nil)
	kernelDesc = prometheus.NewDesc("rollcall_dns_receive_dropped_total",
		"Packets that the kernel dropped because dnsd did not take them in time.", []string{"listener"}, nil)
	certificateDesc = prometheus.NewDesc("rollcall_dns_certificate_expiry_timestamp_seconds",
		"When the certificate of DNS over TLS ends, as seconds since 1970.", []string{"listener"}, nil)
	serialDesc = prometheus.NewDesc("rollcall_zone_serial",
		"Serial of the zone.", []string{"zone"}, nil)
)

// Describe implements prometheus.Collector.
func (m dnsMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{answersDesc, eventsDesc, connsDesc, latencyDesc, sessionsDesc, subscriptionsDesc, pushesDesc, pushEventsDesc, secondaryDesc, kernelDesc, certificateDesc, serialDesc} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m dnsMetrics) Collect(c chan<- prometheus.Metric) {
	for _, p := range m.block.zones {
		c <- prometheus.MustNewConstMetric(serialDesc, prometheus.GaugeValue, float64(p.zone.Serial()), p.zone.Origin())
	}
	listeners := m.block.dns.Load()
	if listeners == nil {
		return
	}
	for _, l := range *listeners {
		collectServer(c, l.addr, l.server.Stats())
	}
}

func collectServer(c chan<- prometheus.Metric, listener string, s nameserver.Stats) {
	for _, a := range s.Answers {
		c <- prometheus.MustNewConstMetric(answersDesc, prometheus.CounterValue, float64(a.Count), listener, a.Transport, a.Type, a.Rcode)
	}
	for event, n := range map[string]uint64{
		"dropped": s.Dropped, "limited": s.Limited, "slipped": s.Limited, "truncated": s.Truncated,
		"sampled": s.Sampled, "failed": s.Failed, "panic": s.Panics, "send_error": s.SendErrors, "tsig_error": s.TSIGErrors,
		"accepted": s.Accepted, "connection_refused": s.ConnsRefused, "slow_client": s.SlowClients,
		"axfr": s.AXFR, "ixfr": s.IXFR, "ixfr_fallback": s.IXFRFallback,
		"transfer_refused": s.TransfersRefused, "transfer_failed": s.TransfersFailed,
		"notify": s.Notifies, "notify_failure": s.NotifyFailures,
	} {
		c <- prometheus.MustNewConstMetric(eventsDesc, prometheus.CounterValue, float64(n), listener, event)
	}
	for _, n := range s.Secondaries {
		addr := ""
		if n.Addr.IsValid() {
			addr = n.Addr.String()
		}
		for event, v := range map[string]uint64{
			"axfr": n.AXFR, "ixfr": n.IXFR, "transfer_failed": n.TransfersFailed, "notify": n.Notifies, "notify_failure": n.NotifyFailures,
		} {
			c <- prometheus.MustNewConstMetric(secondaryDesc, prometheus.CounterValue, float64(v), listener, addr, event)
		}
	}
	if s.KernelTells {
		c <- prometheus.MustNewConstMetric(kernelDesc, prometheus.CounterValue, float64(s.KernelDropped), listener)
	}
	if !s.CertificateEnds.IsZero() {
		c <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, float64(s.CertificateEnds.Unix()), listener)
	}
	c <- prometheus.MustNewConstMetric(connsDesc, prometheus.GaugeValue, float64(s.Conns), listener)
	c <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(s.Push.Sessions), listener)
	c <- prometheus.MustNewConstMetric(subscriptionsDesc, prometheus.GaugeValue, float64(s.Push.Subscriptions), listener)
	c <- prometheus.MustNewConstMetric(pushesDesc, prometheus.CounterValue, float64(s.Push.Pushes), listener)
	for event, n := range map[string]uint64{
		"begun": s.Push.Taken, "refused": s.Push.Refused, "resynchronised": s.Push.Resynchronised,
		"aborted": s.Push.Aborted, "reconfirmed": s.Push.Reconfirmed, "panic": s.Push.Panics,
	} {
		c <- prometheus.MustNewConstMetric(pushEventsDesc, prometheus.CounterValue, float64(n), listener, event)
	}

	buckets := map[float64]uint64{}
	var sum uint64
	for i, bound := range nameserver.LatencyBounds() {
		sum += s.Latency.Counts[i]
		buckets[bound.Seconds()] = sum
	}
	sum += s.Latency.Counts[len(s.Latency.Counts)-1]
	c <- prometheus.MustNewConstHistogram(latencyDesc, sum, time.Duration(s.Latency.Sum).Seconds(), buckets, listener)
}
