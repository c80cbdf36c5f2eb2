package promrollcall

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// family makes the metrics of one collector. Their names have the same beginning, and all
// have one label with the name that the caller gave.
type family struct {
	prefix string
	labels prometheus.Labels
	descs  []*prometheus.Desc
}

func newFamily(prefix, label, name string) family {
	return family{prefix: prefix, labels: prometheus.Labels{label: text(name)}}
}

// text makes a value for a label: Prometheus refuses what is not UTF-8.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (f *family) counter(name, help string, labels ...string) metric {
	return f.metric(prometheus.CounterValue, name, help, labels)
}

func (f *family) gauge(name, help string, labels ...string) metric {
	return f.metric(prometheus.GaugeValue, name, help, labels)
}

func (f *family) metric(kind prometheus.ValueType, name, help string, labels []string) metric {
	desc := prometheus.NewDesc(f.prefix+name, help, labels, f.labels)
	f.descs = append(f.descs, desc)
	return metric{desc, kind}
}

// Describe implements prometheus.Collector.
func (f *family) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range f.descs {
		ch <- d
	}
}

// metric is one metric of a collector.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// send sends a value, with one value for each label.
func (m metric) send(ch chan<- prometheus.Metric, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
}

// number is a metric without labels, and its value in a reading S.
type number[S any] struct {
	metric
	of func(*S) float64
}

func send[S any](ch chan<- prometheus.Metric, numbers []number[S], reading *S) {
	for _, n := range numbers {
		n.send(ch, n.of(reading))
	}
}

// flag is 1 for true.
func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Tests: scrape_test.go, server_test.go.
