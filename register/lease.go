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

// ErrReplaced means that a newer incarnation of the same id is registered, so this
// lease has ended.
var ErrReplaced = errors.New("replaced by a newer incarnation")

// errClosed is the error of Update after the end of the lease.
var errClosed = errors.New("the lease is closed")

// Lease keeps one registration. Its methods are safe for concurrent use.
type Lease struct {
	cfg    Config
	client *client
	own    *http.Transport // nil if the caller gave the HTTP client
	path   string          // of the instance, without the hook's URL
	random func() float64  // [0, 1)

	cancel  context.CancelFunc // aborts requests under way
	stop    chan struct{}      // closed: run ends and leaves the hold open
	ended   chan struct{}      // closed: run has ended
	done    chan struct{}      // closed: the lease is no longer kept
	first   chan error         // result of the first registration, capacity 1
	changes chan *change       // from Update to run, capacity 1

	closeOnce sync.Once
	closeErr  error
	held      *hold // owned by run; by Close after ended
	notice    notice
	teller    teller
	doubt     bool // a PUT without an answer may have been executed; owned like held

	mu     sync.Mutex // guards reg, status, err, drain
	reg    Registration
	status Status
	err    error
	drain  drain
}

// Keep registers the instance and keeps it registered until Close. It returns
// when the hook has accepted the registration, which is then in DNS. Keep returns an
// error at once if the hook refuses the registration (a [Problem] that names the
// field; if it refuses the token, if all hooks do), if a newer incarnation is registered ([ErrReplaced]), or if the hook's
// certificate cannot be verified. If the hook cannot be reached, or the answer is not
// that of a hook, Keep tries again until ctx ends. With Config.Background it returns
// at once, and only an invalid Config is an error.
//
// ctx bounds Keep only: the lease outlives it.
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
		changes: make(chan *change, 1),
		reg:     cfg.Registration,
		notice:  notice{quiet: !cfg.quiet, about: cfg.Service + "/" + cfg.ID},
		status:  Status{Service: cfg.Service, ID: cfg.ID, Since: time.Now()},
		drain:   drain{want: cfg.Registration.Drain, news: make(chan struct{}), poke: make(chan struct{}, 1)},
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
		case err := <-l.first: // the answer came at the same moment
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
		return nil, fmt.Errorf("%w; gave up: %w", last, context.Cause(ctx)) // last names service and id
	}
}

// incarnation is the incarnation of this process. It does not change after the first
// registration.
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

// Registration returns a copy of what is kept registered.
func (l *Lease) Registration() Registration {
	l.mu.Lock()
	defer l.mu.Unlock()
	reg := l.reg
	reg.Meta = maps.Clone(reg.Meta)
	return reg
}

// Status returns the present state of the lease.
func (l *Lease) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.status
	st.Hook = l.client.base()
	return st
}

// registrations is the number of PUTs that the hook accepted.
func (l *Lease) registrations() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.Registrations
}

// Done is closed when the lease has ended: after Close, or when a newer incarnation
// replaced it.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Err is nil while the lease is kept. After that it is [ErrReplaced], or says that
// the lease was closed.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
