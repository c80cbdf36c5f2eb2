// Command dnsd is Rollcall's server: authoritative DNS for the instances that
// register themselves with it over HTTP.
//
//	dnsd                 zone svc., DNS on 127.0.0.1:5300, hook on 127.0.0.1:8053
//	dnsd -dns 127.0.0.1:5301 -hook 127.0.0.1:8054
//	dnsd -conf Corefile  the zones of the Corefile
//	dnsd -conf Corefile -validate
//	dnsd -version
//
// SIGHUP and SIGUSR1 read the Corefile again. SIGTERM and SIGINT stop the server
// gracefully, with exit status 0; a second one stops it at once, with status 2.
//
// The log goes to standard error: lines for people on a terminal, else JSON (the
// Corefile's "log LEVEL json" and "log LEVEL console" choose). It never holds up the
// server: lines that are not read in time are dropped and counted. Every mistake at the
// start has one line and exit status 1. The files in testdata show all of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/rollcall-dns/rollcall/dnsd"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are flags of the command line.
type options struct {
	conf      string
	dns, hook string // addresses for a start without conf; empty: the defaults
}

// run is main with its surroundings as arguments; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("dnsd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o options
	flags.StringVar(&o.conf, "conf", "", "the Corefile; without it, zone svc. with registrations in memory")
	flags.StringVar(&o.dns, "dns", "", "without -conf: the `address` of DNS, UDP and TCP (default "+dnsd.DefaultDNS+")")
	flags.StringVar(&o.hook, "hook", "", "without -conf: the `address` of the HTTP hook (default "+dnsd.DefaultHook+")")
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
	// A variable that is not set makes an argument empty. It must not start another server
	// than was meant.
	empty := ""
	flags.Visit(func(f *flag.Flag) {
		if f.Value.String() == "" {
			empty = f.Name
		}
	})
	if empty != "" {
		fmt.Fprintf(stderr, "dnsd: -%s: the argument is empty; leave the flag out for the default\n", empty)
		return 1
	}
	if *version {
		fmt.Fprintln(stdout, "dnsd", buildVersion())
		return 0
	}
	if *validate && o.conf == "" {
		fmt.Fprintln(stderr, "dnsd: -validate needs -conf FILE")
		return 1
	}
	c, err := o.load()
	if err == nil && *validate {
		err = c.Check()
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if *validate {
		fmt.Fprintf(stdout, "%s: good\n", o.conf)
		return 0
	}
	return serve(c, o, stderr)
}

// load reads the Corefile, or makes a configuration of the flags.
func (o options) load() (dnsd.Corefile, error) {
	if o.conf != "" {
		if o.dns != "" || o.hook != "" {
			return dnsd.Corefile{}, errors.New("dnsd: -dns and -hook are for a start without -conf; in a Corefile, use bind and hook")
		}
		return dnsd.ReadCorefile(o.conf)
	}
	z := dnsd.Zone{Hook: dnsd.Hook{Addr: o.hook}}
	if o.dns != "" {
		z.Bind = []string{o.dns}
	}
	return dnsd.Corefile{Config: dnsd.Config{Zones: []dnsd.Zone{z}}}, nil
}

// serve runs the server until a signal or a failure ends it.
func serve(c dnsd.Corefile, o options, stderr io.Writer) int {
	ignoreBrokenPipes()
	log := newLogger(stderr, c.Log)
	defer log.Close()
	r := &reloader{conf: o.conf, log: log, again: make(chan struct{}, 1), counts: newReloadCounts()}
	cfg := r.equip(c.Config)

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append([]os.Signal{syscall.SIGTERM, os.Interrupt}, reloadSignals...)...)
	defer signal.Stop(signals)

	s, err := dnsd.New(cfg)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w; is another dnsd running?", err)
			if o.conf == "" {
				err = fmt.Errorf("%w Choose other addresses with -dns and -hook", err)
			}
		}
		fmt.Fprintln(log.sink, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if o.conf == "" {
		log.Info("no Corefile: defaults, registrations in memory", "serves", s.String())
	} else {
		log.Info("started", "serves", s.String())
	}
	go r.run(ctx, s)
	stopping := false
	for {
		select {
		case err := <-ended:
			if err != nil {
				fmt.Fprintln(log.sink, err)
				return 1
			}
			log.Info("stopped")
			return 0
		case sig := <-signals:
			switch {
			case slices.Contains(reloadSignals, sig):
				r.ask()
			case stopping:
				return 2
			default:
				stopping = true
				log.Info("stopping", "signal", sig.String())
				cancel()
			}
		}
	}
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
