package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/child"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/register"
)

// supervisor keeps an instance registered as long as its program runs.
type supervisor struct {
	*keeping
	cfg   register.Config
	check bool
	errs  io.Writer
}

// kept is the outcome of a registration.
type kept struct {
	lease *register.Lease
	err   error
}

// silent is how long a person is not told that the port is waited for: most programs begin sooner.
const silent = 2 * time.Second

// errSilent: the program listens somewhere else, or not at all.
var errSilent = errors.New("accepts no connections")

// enrol waits for the port, and registers.
func (s *supervisor) enrol(ctx context.Context) kept {
	if s.check {
		waiting, cancel := context.WithTimeout(ctx, s.wait)
		defer cancel()
		silence := time.NewTimer(silent)
		defer silence.Stop()
		for !answers(waiting, s.addresses()) {
			select {
			case <-silence.C:
				fmt.Fprintf(s.errs, "rollcall register: port %d %v yet; waiting for it, %v in all\n", s.port.value, errSilent, s.wait)
			case <-waiting.Done():
				return kept{err: fmt.Errorf("port %d %w within %v: does the program listen there? -wait waits longer, -check=false does not wait", s.port.value, errSilent, s.wait)}
			case <-time.After(between):
			}
		}
	}
	lease, err := register.Keep(ctx, s.cfg)
	return kept{lease, err}
}

// leave deregisters. Without a lease there is nothing to do.
func (s *supervisor) leave(lease *register.Lease) {
	if lease == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
	defer cancel()
	if err := lease.Close(ctx); err != nil {
		fmt.Fprintf(s.errs, "rollcall register: %v; the registration ends with its lease\n", err)
	}
}

// over is the end of a lease, or a channel that says nothing.
func over(lease *register.Lease) <-chan struct{} {
	if lease == nil {
		return nil
	}
	return lease.Done()
}

// alone registers a program that another one started.
func (s *supervisor) alone(ctx context.Context) error {
	signals := make(chan os.Signal, 4)
	if ending := child.Ending(); len(ending) > 0 { // without a signal, Notify would take all
		signal.Notify(signals, ending...)
	}
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan kept, 1)
	go func() { done <- s.enrol(ctx) }()
	var lease *register.Lease
	for {
		select {
		case k := <-done:
			if k.err != nil {
				return k.err
			}
			lease = k.lease
		case <-over(lease):
			return lease.Err() // another process has the id
		case <-signals:
			if lease == nil { // it may be registered at this moment
				cancel()
				lease = (<-done).lease
			}
			s.leave(lease)
			return nil
		}
	}
}

// with starts the program, and keeps it registered until it ends. It is long because it is
// the life of the program in one place: what may happen at any moment is one select.
func (s *supervisor) with(ctx context.Context, argv []string, in io.Reader, out, errs io.Writer) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, child.Passed()...)
	defer signal.Stop(signals)
	p, err := child.Start(argv, in, out, errs)
	if err != nil {
		return cli.Exit(child.CannotStart, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan kept, 1)
	go func() { done <- s.enrol(ctx) }()
	var lease *register.Lease
	enrolled, leaving := false, false
	// finish ends the registration, also one that is being made.
	finish := func() {
		if !enrolled {
			cancel()
			lease, enrolled = (<-done).lease, true
		}
		s.leave(lease)
		lease = nil
	}
	stop := func(why error) error {
		finish()
		ctx, cancel := context.WithTimeout(context.Background(), child.Patience)
		defer cancel()
		p.Stop(ctx)
		return fmt.Errorf("%w; the command was stopped", why)
	}
	for {
		var enrolling <-chan kept
		if !enrolled {
			enrolling = done
		}
		select {
		case k := <-enrolling:
			lease, enrolled = k.lease, true
			if k.err != nil {
				select {
				case <-p.Ended(): // that is the reason
					continue
				default:
					return stop(k.err)
				}
			}
		case <-over(lease):
			return stop(lease.Err()) // another process has the id
		case <-p.Ended():
			early := lease == nil && !leaving
			finish()
			if early {
				fmt.Fprintln(s.errs, "rollcall register: the command ended before it was registered")
			}
			return cli.Exit(p.Status(), nil)
		case sig := <-signals:
			if child.Ends(sig) && !leaving {
				leaving = true
				finish()
				s.pause(p, signals)
			}
			if child.FromTerminal(sig) {
				continue
			}
			if err := p.Signal(sig); err != nil {
				fmt.Fprintf(s.errs, "rollcall register: pass on %v: %v\n", sig, err)
			}
		}
	}
}

// pause gives caches the time to forget the instance. A second signal ends it.
func (s *supervisor) pause(p *child.Child, signals <-chan os.Signal) {
	if s.linger <= 0 {
		return
	}
	for t := time.After(s.linger); ; {
		select {
		case <-t:
			return
		case <-p.Ended():
			return
		case sig := <-signals:
			if child.Ends(sig) {
				return
			}
			if err := p.Signal(sig); err != nil {
				fmt.Fprintf(s.errs, "rollcall register: pass on %v: %v\n", sig, err)
			}
		}
	}
}

// Tests: register_test.go, script_test.go.
