package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger gives etcd a logger that writes to an slog.Logger. Etcd tells much that is of
// use only to those that look for a fault: its information and its warnings become debug,
// its errors warnings.
//
// Etcd ends the process where it cannot go on, for instance when its disk is full. Here,
// only etcd has to end, since DNS goes on without it: fatal is told, and the goroutine of
// etcd that said it goes no further. It waits for ever, because its deferred functions
// may not run either, and with it all that wait for a lock that it has. One that answers a
// call ends, and gives its locks back: it changes nothing itself. Etcd panics in a call for
// its status, with a lock, between the removal of the server and its end.
func zapLogger(log *slog.Logger, fatal func(err error, waits bool)) *zap.Logger {
	hook := park(fatal)
	return zap.New(core{log: log}, zap.WithFatalHook(hook), zap.WithPanicHook(hook))
}

// park is what etcd does after its last word. waits is whether the goroutine waits for ever.
type park func(fatal error, waits bool)

// OnWrite implements [zapcore.CheckWriteHook].
func (p park) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New(e.Message)
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			err = &lastWord{e.Message, cause}
		}
	}
	if answers() {
		if e.Message != removed {
			p(err, false)
		}
		runtime.Goexit()
	}
	p(err, true)
	select {}
}

// answers says whether this goroutine is one that gRPC has begun for a call.
func answers() bool {
	pcs := make([]uintptr, 64) // a call of etcd has some twenty
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if f.Function == "google.golang.org/grpc.(*Server).handleStream" {
			return true
		}
		if !more {
			return false
		}
	}
}

// removed is what etcd says in a call after its server was removed from the cluster. It then
// ends by itself, which says more.
const removed = "failed to find local ID in cluster members"

// lostLog ends what etcd says when the others say that this server has confirmed more than is
// in its data.
const lostLog = "Was the raft log corrupted, truncated, or lost?"

// lastWord is why etcd ended.
type lastWord struct {
	text  string
	cause error
}

func (w *lastWord) Error() string { return w.text + ": " + w.cause.Error() }
func (w *lastWord) Unwrap() error { return w.cause }

// core is a [zapcore.Core] on an slog.Logger.
type core struct {
	log *slog.Logger
}

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.DPanicLevel:
		return slog.LevelError
	case l >= zapcore.ErrorLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (c core) Enabled(l zapcore.Level) bool {
	return l >= zapcore.InfoLevel && c.log.Enabled(context.Background(), level(l))
}

func (c core) With(fields []zapcore.Field) zapcore.Core { return core{c.log.With(attrs(fields)...)} }

func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	l := level(e.Level)
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && l < slog.LevelError && errors.Is(err, net.ErrClosed) {
			l = slog.LevelDebug // at each stop, etcd says that it closes its port
		}
	}
	c.log.Log(context.Background(), l, "etcd: "+e.Message, attrs(fields)...)
	return nil
}

func (core) Sync() error { return nil }

// attrs are fields in slog's form.
func attrs(fields []zapcore.Field) []any {
	all := make([]any, 0, len(fields))
	for _, f := range fields {
		to := zapcore.NewMapObjectEncoder()
		f.AddTo(to)
		for key, value := range to.Fields {
			all = append(all, slog.Any(key, value))
		}
	}
	return all
}

// Tests: log_test.go.
