// Command demo shows Rollcall at work on one machine. It starts dnsd, math servers
// as processes of their own that register themselves and serve plain net/rpc, and a
// client that calls _math._tcp.svc by name. Meanwhile it kills servers with SIGKILL
// and starts them again on other ports. It shows a live table on a terminal and
// lines elsewhere, and ends with a summary. The exit status is 1 if a call failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/dnsd"
)

// The demo's lease is short, so that a viewer sees it end even where dnsd does not
// notice a death by a broken connection.
const (
	lease = 6 * time.Second
	ttl   = 2 * time.Second
)

// options are the demo's flags.
type options struct {
	duration  time.Duration
	servers   int
	rate      int
	killEvery time.Duration
	policy    string
	json      bool
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == serveArg {
		if err := serve(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, "demo: server", os.Args[3]+":", err)
			os.Exit(1)
		}
		return
	}
	opts, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2) // the flag package has said why
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel) // a second Ctrl-C ends the process at once
	sum, err := run(ctx, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	sum.print(os.Stdout, opts.json)
	if sum.Failed > 0 {
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.DurationVar(&o.duration, "duration", 30*time.Second, "how long")
	f.IntVar(&o.servers, "servers", 3, "math servers, 2 to 50")
	f.IntVar(&o.rate, "rate", 200, "calls a second, 1 to 20000")
	f.DurationVar(&o.killEvery, "kill-every", 4*time.Second, "time between kills; 0 means no kills")
	f.StringVar(&o.policy, "policy", "p2c", "balancing policy: "+strings.Join(balancer.Names(), ", "))
	f.BoolVar(&o.json, "json", false, "print only the summary, as JSON")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	_, err := balancer.ByName(o.policy)
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.servers < 2 || o.servers > 50:
		err = fmt.Errorf("-servers %d: expected 2 to 50, because one is dead at times", o.servers)
	case o.rate < 1 || o.rate > 20000:
		err = fmt.Errorf("-rate %d: expected 1 to 20000", o.rate)
	case o.duration <= 0 || o.killEvery < 0:
		err = errors.New("-duration must be above 0, -kill-every not below")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	return o, err
}

// run is the demo from the first socket to the last.
func run(ctx context.Context, o options) (*summary, error) {
	server, err := startDNSD()
	if err != nil {
		return nil, err
	}
	serving, stopServing := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(serving) }()
	defer func() { stopServing(); <-ended }()

	f := newFleet(server.HookURL(), o.servers)
	defer f.stop()
	for i := range f.servers {
		if err := f.start(i); err != nil {
			return nil, err
		}
	}
	c, err := newCaller(server.DNSAddr().String(), o, f)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.client.Ready(ctx); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	var s screen
	switch {
	case o.json:
		s = quiet{}
	case term.IsTerminal(int(os.Stdout.Fd())):
		s = newTable(os.Stdout, server, o)
	default:
		s = newLines(os.Stdout, server, o)
	}
	killing := make(chan struct{})
	go func() { defer close(killing); killAndRestart(ctx, o.killEvery, f, s) }()
	showing := make(chan struct{})
	go func() { defer close(showing); show(ctx, s, c, f) }()
	c.run(ctx)
	<-killing
	<-showing
	return c.summary(), nil
}

// startDNSD uses the default ports, or free ones if those are taken.
func startDNSD() (*dnsd.Server, error) {
	zone := dnsd.Zone{Lease: dnsd.Lease{Default: lease}, TTL: ttl}
	server, err := dnsd.New(dnsd.Config{Zones: []dnsd.Zone{zone}})
	if err == nil {
		return server, nil
	}
	zone.Bind, zone.Hook.Addr = []string{"127.0.0.1:0"}, "127.0.0.1:0"
	return dnsd.New(dnsd.Config{Zones: []dnsd.Zone{zone}})
}

// killAndRestart kills one server after another, and starts each again half a period
// later, before it kills the next.
func killAndRestart(ctx context.Context, every time.Duration, f *fleet, s screen) {
	if every == 0 {
		return
	}
	for i := 0; ; i = (i + 1) % len(f.servers) {
		if !pause(ctx, every/2) {
			return
		}
		s.event(fmt.Sprintf("kill -9 of %s", f.kill(i)))
		if !pause(ctx, every/2) {
			return
		}
		if err := f.start(i); err != nil {
			s.event(err.Error())
			return
		}
		s.event(fmt.Sprintf("%s is back on another port", f.servers[i].id))
	}
}

// pause waits, and returns false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
