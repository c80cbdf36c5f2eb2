package command

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// A reloader reads the Corefile again when it is asked to. It has a goroutine of its
// own: a slow disk must not delay the loop that receives signals.
type reloader struct {
	conf   string // empty: there is none
	stores dnsd.Stores
	log    *logger
	again  chan struct{}
	counts reloadCounts
}

// ask asks for one more reload. While one waits to begin, there is no second.
func (r *reloader) ask() {
	select {
	case r.again <- struct{}{}:
	default:
	}
}

// run reloads s as often as it is asked to, until ctx ends.
func (r *reloader) run(ctx context.Context, s *dnsd.Server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.again:
			r.log.reloading()
			r.reload(s)
			r.log.started(s.String())
		}
	}
}

func (r *reloader) reload(s *dnsd.Server) {
	if r.conf == "" {
		r.log.Warn("nothing to reload: dnsd was started without -conf")
		return
	}
	c, err := dnsd.ReadCorefile(r.conf)
	if err == nil {
		err = s.Reload(r.equip(c.Config))
	}
	if err != nil {
		r.counts.good.Set(0)
		r.log.Error("reload failed, nothing changed", "error", err)
		return
	}
	r.counts.good.Set(1)
	r.counts.at.SetToCurrentTime()
	r.log.follow(c.Log)
	r.log.Info("reloaded", "serves", s.String())
}

// equip adds what the command knows to the Corefile's configuration.
func (r *reloader) equip(cfg dnsd.Config) dnsd.Config {
	cfg.Logger = r.log.Logger
	cfg.StateDir, cfg.Stores = stateDir(), r.stores
	if forgets(cfg) {
		r.log.Warn("there is no directory for the highest revision given out: after a crash the clock decides where revisions begin, and secondaries may keep a wrong zone if there were more than 15 changes a second; set STATE_DIRECTORY or HOME")
	}
	cfg.Collectors = []prometheus.Collector{r.log.dropped, r.counts.good, r.counts.at}
	return cfg
}

// reloadCounts are shown under /metrics.
type reloadCounts struct{ good, at prometheus.Gauge }

func newReloadCounts() reloadCounts {
	c := reloadCounts{
		good: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rollcall_config_last_reload_successful",
			Help: "1 if the Corefile was good when it was last read, else 0.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rollcall_config_last_reload_success_timestamp_seconds",
			Help: "Time when the present configuration was read.",
		}),
	}
	c.good.Set(1)
	c.at.SetToCurrentTime()
	return c
}

// Tests: command_test.go, script_test.go.
