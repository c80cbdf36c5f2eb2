//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollcall-dns/rollcall/bench/internal/dnsload"
	"github.com/rollcall-dns/rollcall/bench/internal/measure"
)

// services in the zone, and instances of each.
const (
	dnsServices = 100
	dnsEach     = 10
)

// asked is a dnsd whose DNS is measured.
type asked struct {
	name    string
	node    *node
	at      *node // the dnsd that gets the changes
	answers []float64
	cpu     []float64 // us for each answer, and for the changes meanwhile
	busy    []float64
	apart   []float64 // of a core, for the changes while nothing is asked
	core    []float64 // answers a second that a whole core would give, beside the changes
	changed []float64 // changes a second that it has published
	lost    int
	delays  []time.Duration // of answers to a question each millisecond
}

// answers measures DNS. In each round one dnsd has the server's core, and all others the
// other core. Those that are alone are not changed while another of them is asked.
func answers(ctx context.Context, p programs) error {
	if runtime.NumCPU() < 2 {
		return errors.New("needs two cores: one for the server, one for everything else")
	}
	c, err := newCluster(ctx, p)
	if err != nil {
		return err
	}
	defer c.stop()
	writer, followers, err := c.roles(ctx)
	if err != nil {
		return err
	}
	var alone []*node
	for _, s := range []string{"memory", "bolt " + p.work + "/svc.db"} {
		n, err := single(p, s[:4], s)
		if err != nil {
			return err
		}
		if _, err := n.restart(ctx); err != nil {
			return err
		}
		defer n.end(os.Kill)
		alone = append(alone, n)
	}
	rows := []*asked{
		{name: "alone, store memory", node: alone[0], at: alone[0]},
		{name: "alone, store bolt", node: alone[1], at: alone[1]},
		{name: "the writer of three", node: writer, at: writer},
		{name: "a follower of three", node: followers[0], at: writer},
	}
	nodes := append(slices.Clone(c.nodes), alone...)
	for _, n := range []*node{writer, alone[0], alone[1]} {
		h := newHooks(16, n)
		for i := range int64(dnsServices * dnsEach) {
			if err := h.change(ctx, i, 1); err != nil {
				return err
			}
		}
		h.close()
	}
	if err := turns(ctx, rows, nodes); err != nil {
		return err
	}
	fmt.Printf("SRV over UDP, %d services x %d instances, %d changes a second, median of %d rounds of %v; the dnsd on one core, all others and the generators on the other\n\n",
		dnsServices, dnsEach, *changes, *rounds, *span)
	fmt.Println("| | answers/s | CPU us/answer | busy | for the changes alone | answers/s of a core | to the first | one answer, median, p99 | changes/s | lost |\n|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Printf("| %s | %.0fk | %.2f | %.2f | %.2f | %.0fk | %.2f | %v, %v | %.0f | %d |\n", r.name, measure.Median(r.answers)/1000,
			measure.Median(r.cpu), measure.Median(r.busy), measure.Median(r.apart), measure.Median(r.core)/1000, measure.Median(r.core)/measure.Median(rows[0].core),
			measure.Median(r.delays).Round(time.Microsecond), measure.Quantile(r.delays, 0.99).Round(time.Microsecond), measure.Median(r.changed), r.lost)
	}
	return nil
}

// turns measures each row in each round, in another order each time. The first is alone,
// the last a follower.
func turns(ctx context.Context, rows []*asked, nodes []*node) error {
	dnsload.Pin(os.Getpid(), dnsload.GeneratorCore)
	ask := newGenerator()
	first, last := rows[0], rows[len(rows)-1]
	for round := range *rounds {
		for i := range rows {
			r := rows[(i+round)%len(rows)]
			for _, n := range nodes {
				dnsload.Pin(n.cmd.Process.Pid, dnsload.GeneratorCore)
			}
			dnsload.Pin(r.node.cmd.Process.Pid, dnsload.ServerCore)
			beside := last.at // changed as well, so that the generator's core has the same to do
			if r.at == last.at {
				beside = first.at
			}
			if err := r.measure(ctx, ask, beside); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	return nil
}

// generator asks a dnsd for a time.
type generator func(netip.AddrPort, time.Duration) (dnsload.Result, error)

// newGenerator starts the goroutine that asks. It stays on its thread, and never ends: with
// a thread, the processes end that were started on it.
func newGenerator() generator {
	type job struct {
		addr netip.AddrPort
		d    time.Duration
	}
	jobs := make(chan job)
	results := make(chan dnsload.Result)
	errs := make(chan error, 1)
	go func() {
		// The changes come first: the generator gets the rest of the core.
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10) // of this thread; no priority is worth an error
		l := dnsload.New(dnsServices)
		for j := range jobs {
			r, err := l.UDP(j.addr, j.d)
			errs <- err
			results <- r
		}
	}()
	return func(addr netip.AddrPort, d time.Duration) (dnsload.Result, error) {
		jobs <- job{addr, d}
		err := <-errs
		return <-results, err
	}
}

// measure asks one dnsd for a while, and changes it and another.
func (r *asked) measure(ctx context.Context, ask generator, beside *node) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var streams sync.WaitGroup
	for _, n := range []*node{r.at, beside} {
		streams.Go(func() {
			if err := stream(ctx, n); err != nil {
				cancel(err)
			}
		})
	}
	defer func() {
		cancel(nil)
		streams.Wait()
	}()
	if _, err := ask(r.node.dns, *span/4); err != nil { // warms up
		return err
	}
	apart, err := r.unasked(ctx)
	if err != nil {
		return err
	}
	if err := r.time(); err != nil {
		return err
	}
	from, err := r.revision(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	cpu, err := dnsload.CPUTime(r.node.cmd.Process.Pid)
	if err != nil {
		return err
	}
	res, err := ask(r.node.dns, *span)
	if err != nil {
		return err
	}
	now, err := dnsload.CPUTime(r.node.cmd.Process.Pid)
	if err != nil {
		return err
	}
	to, err := r.revision(ctx)
	if err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r.answers = append(r.answers, float64(res.Answers)/res.Took.Seconds())
	r.cpu = append(r.cpu, float64((now-cpu).Microseconds())/float64(res.Answers))
	r.busy = append(r.busy, (now-cpu).Seconds()/res.Took.Seconds())
	r.apart = append(r.apart, apart)
	perAnswer := ((now - cpu).Seconds() - apart*res.Took.Seconds()) / float64(res.Answers)
	r.core = append(r.core, (1-apart)/perAnswer)
	r.changed = append(r.changed, float64(to-from)/time.Since(began).Seconds())
	r.lost += res.Lost
	progress("%s: %.0f answers/s", r.name, r.answers[len(r.answers)-1])
	return nil
}

// unasked returns how much of a core the dnsd needs for the changes while nothing is asked.
func (r *asked) unasked(ctx context.Context) (float64, error) {
	began := time.Now()
	before, err := dnsload.CPUTime(r.node.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(*span):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	now, err := dnsload.CPUTime(r.node.cmd.Process.Pid)
	return (now - before).Seconds() / time.Since(began).Seconds(), err
}

// time asks seldom, and notes how long each answer takes.
func (r *asked) time() error {
	all, err := delays(r.node.dns, *span)
	r.delays = append(r.delays, all...)
	return err
}

// revision that the dnsd which is asked has now.
func (r *asked) revision(ctx context.Context) (uint64, error) {
	var answer struct{ Revision uint64 }
	err := get(ctx, r.node.hook+"/v1/services", &answer)
	return answer.Revision, err
}

// stream makes changes at a steady pace until ctx ends. If they take too long, they become
// fewer: the table says how many there were.
func stream(ctx context.Context, n *node) error {
	const workers = 32
	const pace = 5 * time.Millisecond
	h := newHooks(workers, n)
	defer h.close()
	due := make(chan int64, workers)
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range due {
				if err := h.change(ctx, i%(dnsServices*dnsEach), 1+int(i/(dnsServices*dnsEach))%1000); err != nil && ctx.Err() == nil {
					failed.Store(&err)
				}
			}
		})
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	began, i := time.Now(), int64(0)
	for failed.Load() == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			for want := int64(time.Since(began).Seconds() * float64(*changes)); i < want && ctx.Err() == nil; i++ {
				due <- i
			}
		}
	}
	close(due)
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// change registers instance i of the zone with a weight.
func (h *hooks) change(ctx context.Context, i int64, weight int) error {
	path := fmt.Sprintf("/v1/services/%s/instances/i%02d", dnsload.ServiceName(int(i/dnsEach)), i%dnsEach)
	return h.do(ctx, 0, http.MethodPut, path, value(i, weight), http.StatusCreated, http.StatusOK)
}
