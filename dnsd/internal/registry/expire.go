package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	expireStride = 8192 // entries looked at while requests wait: after a restart all leases end in one tick
	expireBatch  = 1024 // leases judged in one commit: requests get their turn in between
)

// Run ends leases until ctx is canceled, when it returns nil, or until the registry is
// closed, when it returns ErrClosed. Exactly one Run must run.
func (r *Registry) Run(ctx context.Context) error {
	r.mu.Lock()
	r.clock.begin()
	r.mu.Unlock()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	prober := prober{r: r, known: make(map[Key]bool)}
	settler := settler{r: r}
	ctx, cancel := context.WithCancel(ctx)
	defer prober.workers.Wait()
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		suspects, err := r.expire(ctx)
		if errors.Is(err, ErrClosed) {
			return ErrClosed
		}
		prober.add(ctx, suspects)
		settler.tick(ctx)
	}
}

// ended is a lease that ended, with its deadline at that moment. A renewal may change the
// entry before the lease is judged.
type ended struct {
	entry    *entry
	deadline time.Duration
	key      Key
}

// expire judges every lease that has ended, and returns the suspects to be probed.
func (r *Registry) expire(ctx context.Context) (suspects []probed, err error) {
	var due []ended
	for done := false; !done; {
		r.mu.Lock()
		now := r.clock.read()
		if !r.mayLocked() {
			r.mu.Unlock()
			return nil, nil // leases run where the writer is
		}
		stalls, stalled := r.clock.stalls, r.clock.stalled
		done = r.catalog.wheel.advance(now, expireStride, func(e *entry) {
			if e.deadline > now {
				r.catalog.wheel.add(e) // renewed since
				return
			}
			due = append(due, ended{e, e.deadline, e.in.Key})
		})
		r.mu.Unlock()
		r.logStall(stalls, stalled)
	}
	if len(due) == 0 {
		return nil, nil
	}

	// Leases are judged in the order of their ends, because the guard removes only the
	// first ones.
	slices.SortFunc(due, func(a, b ended) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), a.key.Compare(b.key))
	})
	for part := range slices.Chunk(due, min(expireBatch, r.queue.most)) {
		var j judgement
		if err = r.submit(ctx, &op{unstored: true, decide: func(p *plan) error {
			j = judgement{}
			for _, d := range part {
				j.judge(p, d.entry)
			}
			return nil
		}}); err == nil {
			suspects = append(suspects, j.suspects...)
			r.stats.expired.Add(uint64(len(j.expired)))
			r.logJudgement(&j)
		}
		r.reschedule(part)
	}
	return suspects, err
}

// reschedule puts the entries that are still registered into the wheel again.
func (r *Registry) reschedule(part []ended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range part {
		e := d.entry
		if e.slot != unscheduled || r.catalog.find(e.in.Key) != e {
			continue
		}
		r.catalog.wheel.add(e)
	}
}

// judgement of some leases that ended.
type judgement struct {
	expired   []string // instances
	reprieved int      // how many instances
	services  []string // of the instances that were reprieved
	deaf      bool     // see window
	suspects  []probed
}

func (j *judgement) judge(p *plan, e *entry) {
	r := p.r
	in, current := p.find(e.in.Key)
	if current != e || in == nil || p.touched(in.Key) || e.deadline > p.now {
		return // renewed, removed, or about to be
	}
	guard := &r.settings().Guard
	rep, reprieved := r.reprieves[e]
	w := p.window(in, e)
	w.deaf = p.deaf(e)
	switch {
	case in.Shown() == Drained, reprieved && rep.ended(guard, p.now, in.Lease) && !(rep.trial && !rep.over && guard.reprieves(w)):
		p.remove(in, e, keepLease)
		p.because(endOf(in, rep, reprieved))
		j.expired = append(j.expired, in.Key.String())
		return
	case reprieved && in.State == Suspect:
		p.reprieve(in, e)
	case reprieved, guard.reprieves(w):
		in = p.put(in, in.with(Suspect), e, reprieveLease)
		p.because(Crowd)
		if w.deaf {
			p.because(Deaf)
		}
		j.reprieved++
		j.deaf = j.deaf || w.deaf
		if !slices.Contains(j.services, in.Service) {
			j.services = append(j.services, in.Service)
		}
	case !guard.Off && guard.small(w) && r.provable(in):
		in = p.put(in, in.with(Suspect), e, trialLease)
		p.because(Trial)
	default:
		p.remove(in, e, loseLease)
		p.because(Silent)
		j.expired = append(j.expired, in.Key.String())
		return
	}
	j.suspects = append(j.suspects, probed{entry: e, instance: in})
}

// endOf is why in goes, whose lease or reprieve ended.
func endOf(in *Instance, rep reprieve, reprieved bool) Cause {
	switch {
	case !reprieved || in.Shown() == Drained && !rep.over:
		return Silent
	case rep.over:
		return Freed
	}
	return Quiet
}

func (r *Registry) logJudgement(j *judgement) {
	if j.reprieved > 0 {
		r.settings().Logger.Warn("registry: leases ended, and the guard keeps the instances as suspects", "count", j.reprieved, "services", some(j.services), "none_renews", j.deaf)
	}
	if len(j.expired) > 0 {
		r.settings().Logger.Info("registry: leases expired", "count", len(j.expired), "instances", some(j.expired))
	}
}

// some joins as many names as fit into a line of the log.
func some(names []string) string {
	const most = 20
	text := strings.Join(names[:min(len(names), most)], " ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (r *Registry) logStall(stalls uint64, stalled time.Duration) {
	if r.stallsLogged.Swap(stalls) != stalls {
		r.settings().Logger.Warn("registry: the process stood still: every lease is longer by this time", "stalls", stalls, "stalled", stalled)
	}
}
