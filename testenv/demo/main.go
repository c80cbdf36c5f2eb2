// Command demo shows Rollcall at work on one machine. It starts dnsd, math servers
// as processes of their own that register themselves and serve plain net/rpc, and a
// client that calls _math._tcp.svc by name. Meanwhile it kills servers with SIGKILL
// and starts them again on other ports. It shows a live table on a terminal and
// lines elsewhere, and ends with a summary. The exit status is 1 if a call failed.
//
// With -dnsd 3 it starts three dnsd that share the registrations, as processes, and
// kills the one that writes as well.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
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
	dnsds     int
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
	f.IntVar(&o.dnsds, "dnsd", 1, "dnsd, 1, 3 or 5; several share the registrations, and the one that writes is killed, too")
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
	case o.dnsds != 1 && o.dnsds != 3 && o.dnsds != 5:
		err = fmt.Errorf("-dnsd %d: expected 1, 3 or 5, because most must live when one is killed", o.dnsds)
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
	where, stop, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer stop()

	f := newFleet(strings.Join(where.hooks, ","), o.servers)
	defer f.stop()
	for i := range f.servers {
		if err := f.start(i); err != nil {
			return nil, err
		}
	}
	c, err := newCaller(where, o, f)
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
		s = newTable(os.Stdout, where, o)
	default:
		s = newLines(os.Stdout, where, o)
	}
	var parts sync.WaitGroup
	parts.Go(func() { killAndRestart(ctx, o.killEvery, f, s) })
	if where.several != nil {
		parts.Go(func() { killWriters(ctx, 2*o.killEvery, where.several, s) })
	}
	parts.Go(func() { show(ctx, s, c, where.several) })
	c.run(ctx)
	parts.Wait()
	return c.summary(), nil
}

// start starts one dnsd in this process, or several as processes of their own.
func start(ctx context.Context, o options) (_ *site, stop func(), err error) {
	if o.dnsds > 1 {
		dir, err := os.MkdirTemp("", "rollcall-demo")
		if err != nil {
			return nil, nil, err
		}
		tell := func(text string) {
			if !o.json {
				fmt.Println(text)
			}
		}
		where, err := startSeveral(ctx, o.dnsds, dir, tell)
		if err != nil {
			os.RemoveAll(dir)
			return nil, nil, err
		}
		return where, func() { where.several.stop(); os.RemoveAll(dir) }, nil
	}
	server, err := startDNSD()
	if err != nil {
		return nil, nil, err
	}
	serving, stopServing := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(serving) }()
	return &site{hooks: []string{server.HookURL()}, dns: []string{server.DNSAddr().String()}}, func() { stopServing(); <-ended }, nil
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

// killWriters kills the dnsd that writes, and starts it again half a period later, before
// it kills the next one.
func killWriters(ctx context.Context, every time.Duration, all *several, s screen) {
	if every == 0 {
		return
	}
	for pause(ctx, every/2) {
		d := all.writer(ctx)
		if d == nil {
			continue
		}
		took, err := all.kill(ctx, d)
		if err != nil {
			return // the demo ends
		}
		s.event(fmt.Sprintf("kill -9 of dnsd %s, the writer: another one took a registration after %v", d.name, took.Round(time.Millisecond)))
		if !pause(ctx, every/2) {
			return
		}
		if err := all.start(d); err != nil {
			s.event(err.Error())
			return
		}
		s.event(fmt.Sprintf("dnsd %s is started again", d.name))
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
