// Package command is the command dnsd: flags, signals, reloads and the log. There are two
// such commands, dnsd/cmd/dnsd and the one of the module dnsd/cluster. They differ in the
// stores that they can open, and in nothing else.
//
// The files in testdata are the tests of the command, and its manual.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/nearest"
	"github.com/rollcall-dns/rollcall/internal/release"
)

// options are flags of the command line.
type options struct {
	conf      string
	dns, hook string // addresses for a start without conf; empty: the defaults
	stores    dnsd.Stores
}

// Main runs dnsd with the arguments of the command line, and returns the exit status.
// Stores opens the stores that several dnsd share; nil: this dnsd has none.
func Main(args []string, stdout, stderr io.Writer, stores dnsd.Stores) int {
	flags := flag.NewFlagSet("dnsd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o := options{stores: stores}
	flags.StringVar(&o.conf, "conf", "", "the Corefile; without it, zone svc. with registrations in memory")
	flags.StringVar(&o.dns, "dns", "", "without -conf: the `address` of DNS, UDP and TCP (default "+dnsd.DefaultDNS+")")
	flags.StringVar(&o.hook, "hook", "", "without -conf: the `address` of the HTTP hook (default "+dnsd.DefaultHook+")")
	validate := flags.Bool("validate", false, "check the Corefile and exit: 0 good, 1 bad")
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(stderr)
			flags.Usage()
			return 0
		}
		fmt.Fprintln(stderr, "dnsd: "+wrongFlag(err, flags))
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
		fmt.Fprintln(stdout, "dnsd", release.Version())
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

// wrongFlag says in one line what is wrong with a flag. Package flag has an error of no type
// of its own, and prints all flags after it.
func wrongFlag(err error, flags *flag.FlagSet) string {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err.Error() + "; see dnsd -help"
	}
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near, ok := nearest.Word(name, names); ok {
		return fmt.Sprintf("unknown flag -%s; did you mean -%s?", name, near)
	}
	return fmt.Sprintf("unknown flag -%s; expected one of -%s; see dnsd -help", name, strings.Join(names, ", -"))
}

// load reads the Corefile, or makes a configuration of the flags.
func (o options) load() (dnsd.Corefile, error) {
	if o.conf != "" {
		if o.dns != "" || o.hook != "" {
			return dnsd.Corefile{}, errors.New("dnsd: -dns and -hook are for a start without -conf; in a Corefile, use bind and hook")
		}
		c, err := dnsd.ReadCorefile(o.conf)
		c.Stores = o.stores
		return c, err
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
	r := &reloader{conf: o.conf, stores: o.stores, log: log, again: make(chan struct{}, 1), counts: newReloadCounts()}
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
	log.started(s.String())
	go r.run(ctx, s)
	go log.watchdog(ctx)
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
				log.notify(daemon.SdNotifyStopping)
				cancel()
			}
		}
	}
}

// Tests: command_test.go, script_test.go.
