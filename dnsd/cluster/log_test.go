package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestEtcdsLog(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelInfo:  "WARN etcd: error with=1 k=v\n",
		slog.LevelDebug: "DEBUG etcd: info with=1 n=2\nDEBUG etcd: warn with=1 error=broken\nWARN etcd: error with=1 k=v\nDEBUG etcd: stop with=1 error=\"use of closed network connection\"\n",
	} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		z := zapLogger(log, func(error, bool) { t.Error("it ended") }).With(zap.Int("with", 1))
		z.Debug("debug")
		z.Info("info", zap.Int("n", 2))
		z.Warn("warn", zap.Error(errors.New("broken")))
		z.Error("error", zap.String("k", "v"))
		z.Error("stop", zap.Error(net.ErrClosed))
		got := strings.NewReplacer("level=", "", `msg="`, "", `" with`, " with").Replace(out.String())
		if got != want {
			t.Errorf("%v: %q, want %q", level, got, want)
		}
	}
}

// TestTheLastWordOfEtcdEndsEtcdAlone: the process and the goroutine's caller go on.
func TestTheLastWordOfEtcdEndsEtcdAlone(t *testing.T) {
	broken := errors.New("no space left on device")
	for name, say := range map[string]func(*zap.Logger){
		"fatal": func(l *zap.Logger) { l.Fatal("failed to save", zap.Error(broken)) },
		"panic": func(l *zap.Logger) { l.Panic("failed to save", zap.Error(broken)) },
	} {
		var out bytes.Buffer
		word := make(chan error)
		l := zapLogger(slog.New(slog.NewTextHandler(&out, nil)), func(err error, waits bool) {
			if !waits {
				t.Errorf("%s: its goroutine ends", name)
			}
			word <- err
		})
		go func() {
			say(l)
			t.Errorf("%s: it goes on", name)
		}()
		if err := <-word; !errors.Is(err, broken) || err.Error() != "failed to save: no space left on device" {
			t.Errorf("%s: the word is %v", name, err)
		}
		if !strings.Contains(out.String(), "level=ERROR") {
			t.Errorf("%s: the log is %s", name, out.String())
		}
	}
}
