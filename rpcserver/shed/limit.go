package shed

import (
	"context"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Config says how to limit. The zero value works.
type Config struct {
	// Least and Most bound the limit. Defaults 4 and 10,000.
	Least, Most int
	// Begin is the limit in the beginning. Default 20.
	Begin int
	// Tolerance is how many times as long as the base calls may take. More of it means a
	// longer queue, and fewer refusals when calls come in bursts. Default 2; at least 1.1.
	Tolerance float64
	// StayAway is how long clients of a refused call are told to send nothing more to
	// this server. Default 200ms; negative: they are told nothing.
	StayAway time.Duration
}

func (cfg Config) withDefaults() Config {
	if cfg.Least <= 0 {
		cfg.Least = 4
	}
	if cfg.Most <= 0 {
		cfg.Most = 10_000
	}
	cfg.Most = max(cfg.Most, cfg.Least)
	if cfg.Begin <= 0 {
		cfg.Begin = 20
	}
	cfg.Begin = min(max(cfg.Begin, cfg.Least), cfg.Most)
	switch {
	case !(cfg.Tolerance > 0):
		cfg.Tolerance = 2
	case cfg.Tolerance < 1.1:
		cfg.Tolerance = 1.1 // less is noise
	}
	switch {
	case cfg.StayAway == 0:
		cfg.StayAway = 200 * time.Millisecond
	case cfg.StayAway < 0:
		cfg.StayAway = 0
	}
	return cfg
}

func (cfg Config) control() control {
	return control{least: float64(cfg.Least), most: float64(cfg.Most), tolerance: cfg.Tolerance, limit: float64(cfg.Begin)}
}

// Limit is one limit, for one or several methods. Make it with New. All methods are safe
// for concurrent use.
type Limit struct {
	refuse error
	start  time.Time

	mu      sync.Mutex // guards all below
	control control
	refused uint64
}

// New makes a Limit.
func New(cfg Config) *Limit {
	cfg = cfg.withDefaults()
	return &Limit{
		refuse: rpcserver.Refuse("too many calls at a time: the server sheds load", cfg.StayAway),
		start:  time.Now(), control: cfg.control(),
	}
}

// Middleware refuses the calls beyond the limit. It goes before other middleware that
// takes time.
func (l *Limit) Middleware(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
	l.mu.Lock()
	t, ok := l.control.begin(time.Since(l.start))
	if !ok {
		l.refused++
	}
	l.mu.Unlock()
	if !ok {
		return l.refuse
	}
	defer func() { // also when the method panics
		gone := ctx.Err() != nil
		l.mu.Lock()
		defer l.mu.Unlock()
		if now := time.Since(l.start); gone {
			l.control.cut(now, t)
		} else {
			l.control.end(now, t)
		}
	}()
	return next(ctx, call)
}

// Stats are the numbers of a Limit.
type Stats struct {
	Limit    int           `json:"limit"`     // how many calls may run at once
	InFlight int           `json:"in_flight"` // calls that run
	Base     time.Duration `json:"base"`      // what a call takes that does not wait, in JSON as nanoseconds; 0: not known yet
	Refused  uint64        `json:"refused"`   // calls
}

// Stats returns the current numbers.
func (l *Limit) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Limit: int(l.control.limit), InFlight: l.control.inFlight, Base: l.control.base, Refused: l.refused}
}

// Tests: limit_test.go, control_test.go.
