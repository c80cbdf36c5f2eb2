//go:build linux

package machines

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"github.com/rollcall-dns/rollcall/testenv/history"
)

// A crowd is the servers, clients and askers that go on while something fails.
type crowd struct {
	t       *testing.T
	site    *site
	began   time.Time
	leases  []*register.Lease
	askers  []*asker
	calls   atomic.Int64
	record  *history.Recorder // nil: none
	stop    context.CancelFunc
	working sync.WaitGroup

	mu     sync.Mutex // guards what follows
	faults []string
	more   int // faults that are not listed
}

// What the crowd keeps registered: servers that are called, and others.
const (
	calledService, keptService = "_math._tcp", "_kept._tcp"
	called, kept               = 3, 6
)

// Arith is the service that is called.
type Arith struct{}

// Args are the operands.
type Args struct{ A, B int }

// Multiply sets reply to A*B.
func (Arith) Multiply(args *Args, reply *int) error {
	*reply = args.A * args.B
	return nil
}

// gather starts a crowd. It ends with the test, or with disperse.
func (s *site) gather() *crowd {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &crowd{t: s.t, site: s, began: time.Now(), stop: cancel}
	s.t.Cleanup(func() {
		cancel()
		c.working.Wait()
	})
	for i := range called {
		node := rpcserver.New(rpcserver.Config{Addr: here + ":0", Announce: []register.Config{c.announce(calledService, i, 0)}})
		if err := node.Register(Arith{}); err != nil {
			s.t.Fatal(err)
		}
		go node.ListenAndServe("")
		s.t.Cleanup(func() { node.Close() })
	}
	start, end := context.WithTimeout(ctx, patience)
	defer end()
	for i := range kept {
		port, err := net.Listen("tcp", here+":0") // a host that refuses connections is no server's
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { port.Close() })
		l, err := register.Keep(start, c.announce(keptService, i, uint16(port.Addr().(*net.TCPAddr).Port)))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = l.Close(ctx)
		})
		c.leases = append(c.leases, l)
	}
	for _, d := range s.dnsds {
		c.ask(ctx, d)
	}
	for range 2 {
		c.call(ctx)
	}
	if s.token == "" { // the recorder's clients have none
		var err error
		c.record, err = history.Start(ctx, history.Config{Hooks: hooks(s.dnsds), DNS: servers(s.dnsds), Pause: 10 * time.Millisecond})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return c
}

// announce is a registration with a list of all hooks. Each begins with another one.
func (c *crowd) announce(service string, i int, port uint16) register.Config {
	urls := hooks(c.site.dnsds)
	n := i % len(urls)
	return register.Config{
		Hooks: slices.Concat(urls[n:], urls[:n]), Token: c.site.token, Service: service, ID: fmt.Sprint("n", i),
		Registration: register.Registration{Host: here, Port: port},
	}
}

// fault notes what should not have happened.
func (c *crowd) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults) > 20 {
		c.more++
		return
	}
	c.faults = append(c.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// call makes calls until ctx ends.
func (c *crowd) call(ctx context.Context) {
	client, err := rpcclient.New(calledService+".svc.", &rpcclient.Config{Source: &resolver.Resolver{Servers: servers(c.site.dnsds)}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { client.Close() })
	var product int
	if err := client.Call(ctx, "Arith.Multiply", &Args{6, 7}, &product); err != nil {
		c.t.Fatal(err)
	}
	c.working.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			var product int
			err := client.Call(ctx, "Arith.Multiply", &Args{n, 2}, &product)
			if ctx.Err() == nil && (err != nil || product != 2*n) {
				c.fault("a call: %d, %v", product, err)
			}
			c.calls.Add(1)
			sleep(ctx, 3*time.Millisecond)
		}
	})
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// An asker asks one dnsd by DNS.
type asker struct {
	*dnsd
	// excused is odd while no answers are expected; it is even, and another number,
	// afterwards.
	excused         atomic.Int64
	answered, stale atomic.Int64
}

// questionTime is how long an answer may take. It is asked for once.
const questionTime = 2 * time.Second

// ask asks a dnsd until ctx ends.
func (c *crowd) ask(ctx context.Context, d *dnsd) {
	a := &asker{dnsd: d}
	c.askers = append(c.askers, a)
	for service, want := range map[string]int{calledService: called, keptService: kept} {
		await(c.t, "dnsd "+d.name+" has all of "+service, func() bool {
			_, err := question(ctx, d, service, want)
			return err == nil
		})
	}
	c.working.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			name, want := calledService, called
			if n%2 == 1 {
				name, want = keptService, kept
			}
			before := a.excused.Load()
			stale, err := question(ctx, d, name, want)
			switch {
			case err == nil:
				a.answered.Add(1)
				if stale {
					a.stale.Add(1)
				}
			case ctx.Err() == nil && before%2 == 0 && a.excused.Load() == before:
				c.fault("dnsd %s, asked for %s: %v", d.name, name, err)
			}
			sleep(ctx, 4*time.Millisecond)
		}
	})
}

// question asks for the instances of a service, once, and says whether the answer is
// marked as stale.
func question(ctx context.Context, d *dnsd, service string, want int) (stale bool, err error) {
	m := new(dns.Msg)
	m.SetQuestion(service+".svc.", dns.TypeSRV)
	m.SetEdns0(1232, false)
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	client := dns.Client{Timeout: questionTime}
	answer, _, err := client.ExchangeContext(ctx, m, d.dns())
	if err != nil {
		return false, err
	}
	if answer.Rcode != dns.RcodeSuccess || len(answer.Answer) != want {
		return false, fmt.Errorf("%s, %d of %d instances", dns.RcodeToString[answer.Rcode], len(answer.Answer), want)
	}
	if opt := answer.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok && e.InfoCode == dns.ExtendedErrorCodeStaleAnswer {
				stale = true
			}
		}
	}
	return stale, nil
}

// of is the asker of a dnsd.
func (c *crowd) of(d *dnsd) *asker {
	for _, a := range c.askers {
		if a.dnsd == d {
			return a
		}
	}
	c.t.Fatalf("dnsd %s is not asked", d.name)
	return nil
}

// excuse lets a dnsd miss answers, until expect.
func (c *crowd) excuse(all ...*dnsd) {
	for _, d := range all {
		c.of(d).excused.Add(1)
	}
}

// expect ends excuse, after it has answered.
func (c *crowd) expect(all ...*dnsd) {
	c.t.Helper()
	for _, d := range all {
		a := c.of(d)
		before := a.answered.Load()
		await(c.t, "dnsd "+d.name+" answers", func() bool { return a.answered.Load() > before+2 })
		a.excused.Add(1)
	}
}

// disperse ends the crowd, and reports what should not have happened.
func (c *crowd) disperse() *history.History {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var h *history.History
	if c.record != nil {
		var err error
		if h, err = c.record.Finish(ctx); err != nil {
			c.t.Error(err)
		}
		if err := h.Check(); err != nil {
			c.t.Error(err)
		}
	}
	// By now each must be confirmed again.
	for _, l := range c.leases {
		await(c.t, "the leases are kept", func() bool {
			st := l.Status()
			return (st.State == register.LeaseHeld || st.State == register.LeaseRenewed) && time.Since(st.Confirmed) < st.Published.Lease.Std()
		})
	}
	c.stop()
	c.working.Wait()
	if c.more > 0 {
		c.faults = append(c.faults, fmt.Sprintf("and %d more", c.more))
	}
	tooLate(c.t, c.began, c.faults...)
	answers := ""
	for _, a := range c.askers {
		if a.answered.Load() == 0 {
			c.t.Errorf("dnsd %s has answered no question", a.name)
		}
		answers += fmt.Sprintf(" %s %d", a.name, a.answered.Load())
	}
	if c.calls.Load() == 0 {
		c.t.Error("there were no calls")
	}
	text := fmt.Sprintf("%d calls, answers:%s", c.calls.Load(), answers)
	if h != nil {
		text += fmt.Sprintf(", %d requests, %d of them without an outcome", len(h.Ops), h.Count(history.Unknown, -1, history.Register, history.Renew, history.Deregister, history.Drain, history.Undrain))
	}
	c.t.Log(text)
	return h
}
