// Command dnsd is Rollcall's server: authoritative DNS for the instances that
// register themselves with it over HTTP.
//
//	dnsd                 zone svc., DNS on 127.0.0.1:5300, hook on 127.0.0.1:8053
//	dnsd -conf Corefile  what the Corefile says
//	dnsd -conf Corefile -validate
//	dnsd -version
//
// SIGHUP and SIGUSR1 read the Corefile again; SIGTERM and SIGINT stop the server
// gracefully, with exit status 0; a second one at once, with status 2.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"

	"github.com/rollcall-dns/rollcall/dnsd"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("dnsd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	conf := flags.String("conf", "", "the Corefile; without it, defaults in memory")
	validate := flags.Bool("validate", false, "check the Corefile and exit: 0 good, 1 bad")
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 1
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "dnsd: unexpected argument %q; see dnsd -help\n", flags.Arg(0))
		return 1
	}
	if *version {
		fmt.Fprintln(stdout, "dnsd", buildVersion())
		return 0
	}
	cfg, err := load(*conf)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if *validate {
		if *conf == "" {
			fmt.Fprintln(stderr, "dnsd: -validate needs -conf FILE")
			return 1
		}
		fmt.Fprintf(stdout, "%s: good\n", *conf)
		return 0
	}
	return serve(cfg, *conf, stderr)
}

func load(conf string) (dnsd.Config, error) {
	if conf == "" {
		return dnsd.Config{}, nil
	}
	return dnsd.ReadCorefile(conf)
}

// serve runs the server until a signal or a failure ends it.
func serve(cfg dnsd.Config, conf string, stderr io.Writer) int {
	level := zap.NewAtomicLevelAt(zapLevel(cfg.LogLevel))
	logger := newLogger(level, stderr)
	cfg.Logger = logger
	cfg.StateDir = stateDir()

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)

	s, err := dnsd.New(cfg)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if conf == "" {
		logger.Info("no Corefile: defaults, registrations in memory", "serves", s.String())
	} else {
		logger.Info("started", "serves", s.String())
	}
	stopping := false
	for {
		select {
		case err := <-ended:
			if err != nil {
				fmt.Fprintln(stderr, err)
				return 1
			}
			logger.Info("stopped")
			return 0
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP || sig == syscall.SIGUSR1:
				reload(s, conf, level, logger)
			case stopping:
				return 2
			default:
				stopping = true
				logger.Info("stopping", "signal", sig.String())
				cancel()
			}
		}
	}
}

func reload(s *dnsd.Server, conf string, level zap.AtomicLevel, logger *slog.Logger) {
	if conf == "" {
		logger.Warn("nothing to reload: started without -conf")
		return
	}
	cfg, err := dnsd.ReadCorefile(conf)
	if err == nil {
		cfg.Logger = logger
		cfg.StateDir = stateDir()
		err = s.Reload(cfg)
	}
	if err != nil {
		logger.Error("reload failed, nothing changed", "error", err)
		return
	}
	level.SetLevel(zapLevel(cfg.LogLevel))
	logger.Info("reloaded", "serves", s.String())
}

// newLogger is zap behind slog: the rooms know only slog.
func newLogger(level zap.AtomicLevel, w io.Writer) *slog.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(zapcore.AddSync(w)), level)
	// An error's place is in its text; a stack would only bury it.
	return slog.New(zapslog.NewHandler(core, zapslog.AddStacktraceAt(slog.LevelError+100)))
}

func zapLevel(name string) zapcore.Level {
	level, err := zapcore.ParseLevel(name)
	if name == "" || err != nil {
		return zapcore.InfoLevel
	}
	return level
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value
		}
	}
	return v + " " + info.GoVersion
}
