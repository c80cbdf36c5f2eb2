package command

import (
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// A logger is an slog logger whose lines zap writes: the rooms know only slog. Its level
// and format follow the Corefile at each reload.
type logger struct {
	*slog.Logger
	level    zap.AtomicLevel
	json     atomic.Bool
	terminal bool // the output is a terminal: a person may be reading
	sink     *sink
	dropped  prometheus.Collector // lines
}

func newLogger(w io.Writer, conf dnsd.Log) *logger {
	l := &logger{level: zap.NewAtomicLevel(), terminal: isTerminal(w)}
	l.sink = newSink(w, sinkRoom, func(lost uint64) {
		l.Warn("log lines dropped: they were not read in time, or could not be written", "lines", lost)
	})
	l.dropped = prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "rollcall_log_dropped_total",
		Help: "Log lines dropped because they were not read in time, or could not be written.",
	}, func() float64 { return float64(l.sink.Dropped()) })
	l.follow(conf)
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	when := func(json bool) zap.LevelEnablerFunc {
		return func(level zapcore.Level) bool { return l.level.Enabled(level) && l.json.Load() == json }
	}
	core := zapcore.NewTee(
		zapcore.NewCore(zapcore.NewConsoleEncoder(enc), l.sink, when(false)),
		zapcore.NewCore(zapcore.NewJSONEncoder(enc), l.sink, when(true)),
	)
	// The text of an error names its place; a stack would only hide the text.
	l.Logger = slog.New(zapslog.NewHandler(core, zapslog.AddStacktraceAt(slog.LevelError+100)))
	return l
}

// follow takes the Corefile's level and format. Without a format a terminal gets lines
// for people, and everything else gets JSON.
func (l *logger) follow(conf dnsd.Log) {
	level, err := zapcore.ParseLevel(conf.Level)
	if conf.Level == "" || err != nil {
		level = zapcore.InfoLevel
	}
	l.level.SetLevel(level)
	l.json.Store(conf.Format == "json" || conf.Format == "" && !l.terminal)
}

// patience is how long the end of the process waits for the reader of its log.
const patience = time.Second

// Close writes the lines that wait.
func (l *logger) Close() { l.sink.Close(patience) }

// isTerminal says whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Tests: command_test.go, script_test.go, sink_test.go.
