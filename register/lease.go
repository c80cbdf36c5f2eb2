package register

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// closeTimeout bounds the deregistration.
const closeTimeout = 5 * time.Second

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

// change is an Update under way.
type change struct {
	reg   Registration
	reply chan error // capacity 1
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

// abort ends a Keep that failed. A request under way gets a second to be answered:
// were it cut off, it could still reach the hook, behind the deregistration.
func (l *Lease) abort() {
	l.closeOnce.Do(func() {
		close(l.stop)
		select {
		case <-l.ended:
		case <-time.After(time.Second):
		}
		l.cancel()
		<-l.ended
		if l.doubt || l.registrations() > 0 { // best effort: if it fails, the lease runs out by itself
			_ = l.client.do(context.Background(), time.Second, http.MethodDelete, l.deletion(), nil, nil)
		}
		l.release()
	})
}

// release gives back what run left: the hold, connections, the end of Done.
func (l *Lease) release() {
	l.held.close()
	l.held = nil
	l.cancel()
	if l.own != nil {
		l.own.CloseIdleConnections()
	}
	l.end(Closed, errClosed)
}

// Close takes the instance away from the registry and returns when that is done:
// then no resolver gets it any more but from a cache. An instance that is not
// registered any more, was never, or was replaced, is no error. It tries until ctx
// ends, and for 5 s at most: a dnsd that is away must not keep a server from
// stopping. After an error the registration ends with its lease.
func (l *Lease) Close(ctx context.Context) error {
	l.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		close(l.stop)
		select {
		case <-l.ended: // a PUT under way must not overtake the DELETE
		case <-ctx.Done():
			l.cancel()
			<-l.ended
		}
		never := l.registrations() == 0 && !l.doubt
		if !never && !errors.Is(l.Err(), ErrReplaced) {
			l.closeErr = l.deregister(ctx)
		}
		l.release()
	})
	return l.closeErr
}

// deregister sends the DELETE until a hook has answered or ctx ends.
func (l *Lease) deregister(ctx context.Context) error {
	for fails := 1; ; fails++ {
		err := l.client.do(ctx, l.cfg.Timeout, http.MethodDelete, l.deletion(), nil, nil)
		switch {
		case err == nil, status(err) == http.StatusNotFound, status(err) == http.StatusConflict:
			return nil
		case refused(err):
			return fmt.Errorf("register: deregister %s/%s: %w", l.cfg.Service, l.cfg.ID, err)
		}
		timer := time.NewTimer(max(l.pauseAfter(fails), retryAfter(err)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("register: deregister %s/%s: %w", l.cfg.Service, l.cfg.ID, err)
		}
	}
}

// deletion is the path of the DELETE, for this incarnation alone.
func (l *Lease) deletion() string {
	return fmt.Sprintf("%s?incarnation=%d", l.path, l.incarnation())
}

// incarnation is the one that this process is registered under. It does not change
// once it is.
func (l *Lease) incarnation() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reg.Incarnation
}

// Update publishes reg in place of the former registration; its Incarnation is
// ignored. To change one field, begin with [Lease.Registration]. A change that
// the hook refuses is an error and leaves the former in place. When ctx ends
// first, the change is made as soon as the hook can be reached.
func (l *Lease) Update(ctx context.Context, reg Registration) error {
	if reg.Port == 0 {
		return fmt.Errorf("register: update %s/%s: port is 0: begin with Lease.Registration", l.cfg.Service, l.cfg.ID)
	}
	reg.Meta = maps.Clone(reg.Meta)
	c := &change{reg: reg, reply: make(chan error, 1)}
	select {
	case l.changes <- c:
	case <-l.ended:
		return fmt.Errorf("register: update %s/%s: %w", l.cfg.Service, l.cfg.ID, errClosed)
	case <-ctx.Done():
		return fmt.Errorf("register: update %s/%s: %w", l.cfg.Service, l.cfg.ID, context.Cause(ctx))
	}
	select {
	case err := <-c.reply:
		return err
	case <-ctx.Done():
		return fmt.Errorf("register: update %s/%s: %w", l.cfg.Service, l.cfg.ID, context.Cause(ctx))
	}
}

// answer tells the caller of Update. There is one answer: capacity 1 is enough.
func (c *change) answer(err error) {
	if c != nil {
		c.reply <- err
	}
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

// confirmed notes an accepted registration.
func (l *Lease) confirmed(reg Registration, pub Published) {
	l.mu.Lock()
	first := l.status.Registrations == 0
	drained, was := pub.State == StateDrained, l.status.Published.State == StateDrained
	l.reg = reg
	l.status.Published = pub
	l.status.Confirmed = time.Now()
	l.status.Err = nil
	l.status.Registrations++
	l.mu.Unlock()
	if l.notice.over() || first {
		l.notice.say("is registered as %s at %s", net.JoinHostPort(pub.Host, strconv.Itoa(int(pub.Port))), l.client.base())
	}
	if drained == was {
		return
	}
	text := "drained by an operator: new clients are sent elsewhere"
	if !drained {
		text = "no longer drained: clients are sent here again"
	}
	l.notice.say("is %s", text)
	l.log(slog.LevelWarn, "instance "+text)
	l.tell()
}

// beat notes a renewal heard on the hold.
func (l *Lease) beat() {
	l.mu.Lock()
	l.status.Beats++
	l.status.Confirmed = time.Now()
	l.mu.Unlock()
	l.enter(Held)
}

// failed notes a PUT that did not succeed, the fails-th in a row; final, when it is
// not repeated.
func (l *Lease) failed(err error, fails int, final bool) {
	l.mu.Lock()
	l.status.Err = err
	l.status.Failures++
	was := l.status.State
	l.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		return // nobody waits for it any more
	}
	switch {
	case final:
		l.log(slog.LevelError, "registration refused", "err", err) // and Keep returns it
	case was == Registering:
		l.log(slog.LevelWarn, "registration failed, trying again", "err", err)
		if fails >= len(l.cfg.Hooks) {
			l.notice.trouble(time.Now(), "is not registered, so no client finds it; trying again: %s", l.notice.cause(err))
		}
	default:
		l.enter(Retrying)
		if fails >= restartFails*len(l.cfg.Hooks) {
			l.notice.trouble(time.Now(), "is not confirmed by dnsd any more; trying again: %s", l.notice.cause(err))
		}
	}
}

// broke notes a hold that ended; what it means shows at the next PUT.
func (l *Lease) broke(why error) {
	l.mu.Lock()
	l.status.Failures++
	l.mu.Unlock()
	l.log(slog.LevelInfo, "hold ended, registering again", "cause", why)
}

// enter changes the state, and tells.
func (l *Lease) enter(s State) {
	l.mu.Lock()
	was := l.status.State
	if was == s || was == Closed || was == Replaced {
		l.mu.Unlock()
		return
	}
	l.status.State = s
	l.status.Since = time.Now()
	err := l.status.Err
	l.mu.Unlock()
	level := slog.LevelInfo
	args := []any{"state", s.String(), "was", was.String()}
	if err != nil {
		level = slog.LevelWarn
		args = append(args, "err", err)
	}
	msg := "registration " + s.String()
	if was == Registering && (s == Held || s == Renewed) {
		msg = "registered" // how it is kept shows later
	}
	l.log(level, msg, args...)
	l.tell()
}

// end is the last change. Only the first counts.
func (l *Lease) end(s State, err error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = err
	registered := l.status.Registrations > 0
	if s == Replaced {
		l.status.Err = err
	}
	l.mu.Unlock()
	if s == Replaced && (registered || l.cfg.Background) { // else Keep returns it
		l.notice.say("is not registered any more, and no new client finds this process: %s", l.notice.cause(err))
	}
	l.enter(s)
	close(l.done)
}

func (l *Lease) log(level slog.Level, msg string, args ...any) {
	l.cfg.Logger.Log(context.Background(), level, msg,
		append([]any{"service", l.cfg.Service, "id", l.cfg.ID, "hook", l.client.base()}, args...)...)
}
