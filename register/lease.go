package register

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// ErrReplaced means that a newer incarnation of the same id is registered: this
// process was replaced, and its lease has ended.
var ErrReplaced = errors.New("replaced by a newer incarnation")

// errClosed is what Update says after the end.
var errClosed = errors.New("the lease is closed")

// Lease is a registration being kept. Its methods are safe for concurrent use.
type Lease struct {
	cfg    Config
	client *client
	own    *http.Transport // nil when the caller gave the HTTP client
	path   string          // of the instance, without the hook
	random func() float64  // [0, 1)

	cancel  context.CancelFunc // aborts requests under way
	stop    chan struct{}      // closed: run ends, leaving the hold open
	ended   chan struct{}      // closed: run has ended
	done    chan struct{}      // closed: the lease is no longer kept
	first   chan error         // result of the first registration, capacity 1
	changes chan *change

	closeOnce sync.Once
	closeErr  error
	held      *hold // owned by run; by Close after ended
	notice    notice
	teller    teller
	doubt     bool // a PUT without an answer may have arrived; owned as held is

	mu     sync.Mutex // guards reg, status, err
	reg    Registration
	status Status
	err    error
}

// Keep registers the instance and keeps it registered until Close. It returns
// when the hook has accepted the registration, which is then resolvable. A
// registration that the hook refuses (a [Problem] naming the field) or that is
// older than the live one ([ErrReplaced]) is an error at once, as is a hook whose
// certificate cannot be verified; a hook that cannot be reached, or whose answer is
// not a hook's, is tried again until ctx ends. With Config.Background it returns at
// once and only an invalid Config is an error.
//
// ctx is for Keep itself: the lease outlives it.
func Keep(ctx context.Context, cfg Config) (*Lease, error) {
	return keep(ctx, cfg, rand.Float64)
}

func keep(ctx context.Context, cfg Config, random func() float64) (*Lease, error) {
	cfg, err := cfg.complete(time.Now())
	if err != nil {
		return nil, err
	}
	hc, own := cfg.httpClient()
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Lease{
		cfg:     cfg,
		client:  &client{http: hc, token: cfg.Token, bases: cfg.Hooks},
		own:     own,
		path:    "/v1/services/" + cfg.Service + "/instances/" + cfg.ID,
		random:  random,
		cancel:  cancel,
		stop:    make(chan struct{}),
		ended:   make(chan struct{}),
		done:    make(chan struct{}),
		first:   make(chan error, 1),
		changes: make(chan *change),
		reg:     cfg.Registration,
		notice:  notice{quiet: !cfg.quiet, about: cfg.Service + "/" + cfg.ID},
		status:  Status{Service: cfg.Service, ID: cfg.ID, Since: time.Now()},
	}
	l.reg.Meta = maps.Clone(l.reg.Meta)
	go l.run(runCtx)
	if cfg.Background {
		return l, nil
	}
	select {
	case err := <-l.first:
		if err != nil {
			l.abort()
			return nil, err
		}
		return l, nil
	case <-ctx.Done():
		select {
		case err := <-l.first: // it answered in the same moment
			if err == nil {
				return l, nil
			}
		default:
		}
		last := l.Status().Err
		l.abort()
		if last == nil {
			return nil, fmt.Errorf("register: %s/%s: %w", cfg.Service, cfg.ID, context.Cause(ctx))
		}
		return nil, fmt.Errorf("register: %s/%s: %w; last try: %w", cfg.Service, cfg.ID, context.Cause(ctx), last)
	}
}

// incarnation is the one that this process is registered under. It does not change
// once it is.
func (l *Lease) incarnation() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reg.Incarnation
}

func (l *Lease) answerFirst(err error) {
	select {
	case l.first <- err:
	default:
	}
}

// Registration is what is kept registered; the caller may change the copy.
func (l *Lease) Registration() Registration {
	l.mu.Lock()
	defer l.mu.Unlock()
	reg := l.reg
	reg.Meta = maps.Clone(reg.Meta)
	return reg
}

// Status is how the lease stands now.
func (l *Lease) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.status
	st.Hook = l.client.base()
	return st
}

// registrations is how often the hook accepted this one.
func (l *Lease) registrations() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.Registrations
}

// Done is closed when the lease is no longer kept: after Close, or when a newer
// incarnation replaced it.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Err is nil while the lease is kept, then an error that is [ErrReplaced] or says
// that it was closed.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
