package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// fault is what happens to one request.
type fault int

const (
	none    fault = iota
	refused       // no connection
	cut           // the connection breaks before the writer has read the request
	lost          // the answer is lost
	slow          // the answer takes its time
	hung          // no answer, and the request is never executed
	late          // no answer, and the request is executed when its sender has given up
	faults
)

// course is what happens in one run.
type course struct {
	faults     []fault // of the requests, in order
	away, back time.Duration
	begin      []time.Duration // of the callers: one half registers, the other deregisters
	limit      []time.Duration
}

func anyCourse(t *rapid.T) (c course) {
	for range rapid.IntRange(0, 20).Draw(t, "faults") {
		c.faults = append(c.faults, fault(rapid.IntRange(0, int(faults)-1).Draw(t, "fault")))
	}
	c.away = time.Duration(rapid.IntRange(0, 5000).Draw(t, "no writer at, ms")) * time.Millisecond
	c.back = c.away + time.Duration(rapid.IntRange(0, 3000).Draw(t, "for, ms"))*time.Millisecond
	for range 24 {
		c.begin = append(c.begin, time.Duration(rapid.IntRange(0, 6000).Draw(t, "begin, ms"))*time.Millisecond)
		c.limit = append(c.limit, time.Duration(rapid.SampledFrom([]int{300, 2500, 60_000}).Draw(t, "limit, ms"))*time.Millisecond)
	}
	return c
}

// Whatever happens to connections, contexts and writers: a write that succeeded was made,
// and one that was refused was not. All end in time.
func TestWhatCallersAreToldIsTrue(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := anyCourse(r)
		var lies []string
		synctest.Test(t, func(t *testing.T) { lies = c.run(t) })
		for _, l := range lies {
			r.Error(l)
		}
	})
}

func (c *course) faultOf(n int) fault {
	if n > len(c.faults) {
		return none
	}
	return c.faults[n-1]
}

// before lets the faults happen.
func (c *course) before(ctx context.Context, n int) error {
	switch c.faultOf(n) {
	case refused:
		return errRefused
	case cut:
		return errors.New("broken pipe")
	case slow:
		time.Sleep(time.Second)
	case hung:
		<-ctx.Done()
		return ctx.Err()
	case late:
		return errLate
	}
	return nil
}

func (c *course) after(_ context.Context, n int) error {
	if c.faultOf(n) == lost {
		return errors.New("broken pipe")
	}
	return nil
}

// run returns what was said and is not true.
func (c *course) run(t *testing.T) (lies []string) {
	p := newPair(t)
	callers := len(c.begin)
	for i := range callers {
		if _, err := p.writer.Register(t.Context(), sample(fmt.Sprint("old", i))); err != nil {
			t.Fatal(err)
		}
	}
	p.wire.before, p.wire.after = c.before, c.after
	time.AfterFunc(c.away, func() { p.members.set(Target{}, errors.New("election")) })
	time.AfterFunc(c.back, func() { p.members.set(p.target, nil) })
	ids, errs, took := make([]string, callers), make([]error, callers), make([]time.Duration, callers)
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() {
			time.Sleep(c.begin[i])
			ctx, cancel := context.WithTimeout(t.Context(), c.limit[i])
			defer cancel()
			began := time.Now()
			if registers(i) {
				ids[i] = fmt.Sprint("new", i)
				_, errs[i] = p.writes.Register(ctx, sample(ids[i]))
			} else {
				ids[i] = fmt.Sprint("old", i)
				_, errs[i] = p.writes.Deregister(ctx, key(ids[i]), nil)
			}
			took[i] = time.Since(began)
		})
	}
	running.Wait()
	time.Sleep(lateBy + time.Second) // until what is late was executed
	for i, err := range errs {
		_, registered := p.writer.Instance(key(ids[i]))
		made := registered == registers(i)
		switch {
		case errors.Is(err, registry.ErrUncertain):
		case err == nil && !made,
			err != nil && !errors.Is(err, registry.ErrNotWriter) && !errors.Is(err, context.DeadlineExceeded),
			err != nil && made,
			took[i] > answerTime+awaitTime:
			lies = append(lies, fmt.Sprintf("%s after %v: %v; registered: %v", ids[i], took[i], err, registered))
		}
	}
	return lies
}

// registers says what a caller does.
func registers(i int) bool { return i%2 == 0 }
