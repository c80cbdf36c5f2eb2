package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Members knows the members of the cluster.
type Members interface {
	// Writer returns the member that is the writer, or an error that says why there is
	// none. The channel is closed when that changes, and when the registry of this member
	// begins or ceases to lead. The method is called often, and does not wait.
	Writer() (to Target, changed <-chan struct{}, err error)
}

// WritesConfig is the configuration of a Writes. All fields but Logger are required.
type WritesConfig struct {
	Registry Registry
	Members  Members
	Client   *Client
	Logger   *slog.Logger // nil: silent
}

const (
	// patience is how long an operation waits for a writer that takes it. An election
	// after a clean stop takes less. After that the client is told to come again.
	patience = 2 * time.Second
	// answerTime bounds an operation that was sent, with all further attempts. It is less
	// than what a registrar waits for its answer by default, so that it is told why.
	answerTime = 4 * time.Second
	// slowTime is answerTime for what waits for other machines.
	slowTime = 12 * time.Second
	// awaitTime bounds the wait for a change that was made to arrive here. If this member
	// is slower than that, the client gets its answer before DNS here has the change.
	awaitTime = time.Second
	// mostWaiting bounds the operations of a lane that wait to be sent. Each has some hundred
	// octets, but a part of a RenewAll has up to renewalsPart, and as many again in memory.
	mostWaiting = 65_536
	// mostOctets bounds what the operations of a lane that wait have on the wire, so that a
	// writer that hangs costs the others a known share of their memory.
	mostOctets = 32 << 20
)

// Writes is the registry.Writer of one member: it writes to the own registry if that is
// the writer, and else passes the writes on to the member that is. It is safe for
// concurrent use. Close ends it.
type Writes struct {
	registry Registry
	members  Members
	client   *Client
	log      *slog.Logger

	renewals, changes, slow lane
	forwarded               atomic.Uint64 // operations that a writer has answered

	life    context.Context // until Close: then nothing more is sent
	end     context.CancelFunc
	reach   context.Context // of requests: a moment longer
	cut     context.CancelFunc
	running sync.WaitGroup // the senders

	mu    sync.Mutex  // guards what follows
	cause string      // why operations cannot be passed on; "": they can
	told  atomic.Bool // the log has it; changed with mu held
}

var _ registry.Writer = (*Writes)(nil)

// NewWrites returns a Writes.
func NewWrites(cfg WritesConfig) *Writes {
	w := &Writes{registry: cfg.Registry, members: cfg.Members, client: cfg.Client, log: cfg.Logger}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.life, w.end = context.WithCancel(context.Background())
	w.reach, w.cut = context.WithCancel(context.Background())
	// Renewals do not wait for the store, so they do not wait for changes, which do. The
	// writer commits one request of changes while the next one is on its way; more would
	// divide the changes among more commits.
	w.renewals = lane{w: w, most: 2, answer: answerTime, room: mostWaiting, space: mostOctets}
	w.changes = lane{w: w, most: 2, answer: answerTime, room: mostWaiting, space: mostOctets}
	w.slow = lane{w: w, most: 8, answer: slowTime, room: mostWaiting, space: mostOctets}
	return w
}

// Forwarded is how many operations another member has answered.
func (w *Writes) Forwarded() uint64 { return w.forwarded.Load() }

// Refusing says that a write was refused because it did not reach a writer, and that none
// has since.
func (w *Writes) Refusing() bool { return w.told.Load() }

// Close ends the operations that wait with registry.ErrClosed. Those that were sent have a
// moment, and end with registry.ErrUncertain after it. Writes in the own registry still
// work, if it is the writer.
func (w *Writes) Close() {
	w.end()
	for _, l := range [...]*lane{&w.renewals, &w.changes, &w.slow} {
		l.settle()
	}
	late := time.AfterFunc(farewell, w.cut)
	defer late.Stop()
	w.running.Wait()
	w.cut()
}

func (w *Writes) lane(k kind) *lane {
	switch k {
	case renew, renewAll:
		return &w.renewals
	case connectionLost:
		return &w.slow
	}
	return &w.changes
}

// Register is Registry.Register of the writer. A zero TTL or Lease becomes the default of
// the writer.
func (w *Writes) Register(ctx context.Context, in registry.Instance) (registry.Receipt, error) {
	if !w.registry.Leads() {
		// JSON would change text that is not UTF-8, so all text is checked here, too.
		if _, err := registry.NewKey(in.Service, in.ID); err != nil {
			return registry.Receipt{}, err
		}
		if _, err := registry.CheckHost(in.Host); err != nil {
			return registry.Receipt{}, err
		}
		if err := registry.CheckMeta(in.Meta); err != nil {
			return registry.Receipt{}, err
		}
	}
	in.State, in.Sticky, in.Revision = registry.Up, false, 0 // Register ignores them
	return w.one(ctx, operation{kind: register, key: in.Key, instance: in})
}

// Renew is Registry.Renew of the writer.
func (w *Writes) Renew(ctx context.Context, key registry.Key, incarnation uint64) (registry.Receipt, error) {
	return w.one(ctx, operation{kind: renew, key: key, incarnation: &incarnation})
}

// Deregister is Registry.Deregister of the writer. If an attempt may have been executed,
// and key is not registered at the next, then that attempt has removed it, if it was
// registered here before. An attempt may also have removed what came just then: that is
// not known, and the error is ErrNotFound.
func (w *Writes) Deregister(ctx context.Context, key registry.Key, incarnation *uint64) (registry.Receipt, error) {
	return w.one(ctx, operation{kind: deregister, key: key, incarnation: incarnation})
}

// Drain is Registry.Drain of the writer.
func (w *Writes) Drain(ctx context.Context, key registry.Key, sticky bool) (registry.Receipt, error) {
	return w.one(ctx, operation{kind: drain, key: key, sticky: sticky})
}

// Undrain is Registry.Undrain of the writer.
func (w *Writes) Undrain(ctx context.Context, key registry.Key) (registry.Receipt, error) {
	return w.one(ctx, operation{kind: undrain, key: key})
}

// Unfence is Registry.Unfence of the writer.
func (w *Writes) Unfence(ctx context.Context, key registry.Key) (registry.Receipt, error) {
	return w.one(ctx, operation{kind: unfence, key: key})
}

// ReleaseGuard is Registry.ReleaseGuard of the writer.
func (w *Writes) ReleaseGuard(ctx context.Context, service string) (registry.Receipt, error) {
	return w.one(ctx, operation{kind: releaseGuard, service: service})
}

// ConnectionLost is Registry.ConnectionLost of the writer, which probes the instance.
func (w *Writes) ConnectionLost(ctx context.Context, key registry.Key, incarnation uint64) (registry.Receipt, error) {
	return w.one(ctx, operation{kind: connectionLost, key: key, incarnation: &incarnation})
}

// Skip is Registry.Skip of the writer.
func (w *Writes) Skip(ctx context.Context) (registry.Receipt, error) {
	return w.one(ctx, operation{kind: skip})
}

// RenewAll is Registry.RenewAll of the writer. A long list goes in parts.
func (w *Writes) RenewAll(ctx context.Context, all []registry.Renewal) (registry.Renewals, error) {
	if len(all) == 0 {
		return registry.Renewals{Receipt: registry.Receipt{Revision: w.registry.Revision()}}, nil
	}
	split := parts(all)
	if len(split) == 1 {
		res := w.do(ctx, operation{kind: renewAll, renewals: all})
		return res.Renewals, res.err
	}
	if w.registry.Leads() {
		if sum, err := w.registry.RenewAll(ctx, all); !elsewhere(err) {
			return sum, err
		}
	}
	results := make([]result, len(split))
	var running sync.WaitGroup
	for i := range split {
		running.Go(func() { results[i] = w.do(ctx, operation{kind: renewAll, renewals: split[i]}) })
	}
	running.Wait()
	var sum registry.Renewals
	for _, r := range results {
		if r.err != nil {
			return registry.Renewals{}, r.err
		}
		sum.Revision = max(sum.Revision, r.Revision)
		sum.Count += r.Count
		sum.Unknown = append(sum.Unknown, r.Unknown...)
		sum.Replaced = append(sum.Replaced, r.Replaced...)
		if r.Did == registry.Changed || sum.Did == registry.Nothing {
			sum.Did = r.Did
		}
	}
	return sum, nil
}

// parts splits a list so that each part fits into one operation.
func parts(all []registry.Renewal) (parts [][]registry.Renewal) {
	begin, octets := 0, 0
	for i := range all {
		octets += len(all[i].Service) + len(all[i].ID) + len(`"/?incarnation=18446744073709551615",`)
		if octets > renewalsPart && i > begin {
			parts = append(parts, all[begin:i])
			begin, octets = i, 0
		}
	}
	return append(parts, all[begin:])
}

// one makes a write to one instance, or none.
func (w *Writes) one(ctx context.Context, o operation) (registry.Receipt, error) {
	res := w.do(ctx, o)
	return res.Receipt, res.err
}

// do makes a write where it has to be made.
func (w *Writes) do(ctx context.Context, o operation) result {
	uncertain, began := false, w.registry.Revision()
	if w.registry.Leads() {
		res := o.run(ctx, w.registry)
		if !elsewhere(res.err) {
			if w.told.Load() {
				w.note(nil)
			}
			return res
		}
		uncertain = errors.Is(res.err, registry.ErrUncertain)
		w.note(res.err)
	}
	if standing, ok := w.registry.Instance(o.key); ok {
		o.have = standing.Instance
	}
	now, l := time.Now(), w.lane(o.kind)
	c := &call{
		operation: o, ctx: ctx, began: began,
		until: now.Add(patience), end: now.Add(l.answer), done: make(chan outcome, 1),
	}
	if uncertain {
		c.doubt()
	} else {
		c.line = marshal(o.json())
	}
	return w.pass(l, c)
}

// pass passes a write on, or makes it here, if the registry begins to lead meanwhile.
func (w *Writes) pass(l *lane, c *call) result {
	var pause pause
	for {
		out := l.forward(c)
		if !out.local {
			return w.settle(c, out.result)
		}
		_, changed, _ := w.members.Writer()
		res := c.run(c.ctx, w.registry)
		if !elsewhere(res.err) {
			return w.settle(c, res)
		}
		w.note(res.err)
		if errors.Is(res.err, registry.ErrUncertain) {
			c.doubt()
		}
		pause.wait(c.ctx, changed)
		if err := l.over(c); err != nil {
			return result{err: err}
		}
	}
}

// elsewhere says whether err means that another registry has to be asked.
func elsewhere(err error) bool {
	return errors.Is(err, registry.ErrNotWriter) || errors.Is(err, registry.ErrUncertain)
}

// settle waits until a change that was made is here, so that what a client was told is in
// DNS here. That includes the change of another client, if there was nothing to do after
// it. A renewal does not tell what is published.
func (w *Writes) settle(c *call, res result) result {
	if c.kind == deregister && c.uncertain && c.have != nil && errors.Is(res.err, registry.ErrNotFound) {
		// It was registered when this was sent first, so an attempt without an answer has
		// removed it; or another request has, which comes to the same.
		res = result{Renewals: registry.Renewals{Receipt: registry.Receipt{
			Did: registry.Removed, Revision: max(res.at, w.registry.Revision()), Instance: c.have, Count: 1,
		}}}
	}
	if c.kind != renew && c.kind != renewAll {
		ctx, cancel := context.WithTimeout(c.ctx, awaitTime)
		defer cancel()
		_ = w.registry.Await(ctx, res.Revision) // it was made, whether it is here or not
	}
	return res
}

// note remembers why operations cannot be passed on; nil: they can.
func (w *Writes) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.cause = err.Error()
		for _, kind := range [...]error{registry.ErrNotWriter, registry.ErrUncertain} {
			w.cause = strings.TrimPrefix(w.cause, kind.Error()+": ") // giveUp says which it is
		}
		return
	}
	if w.cause = ""; w.told.Swap(false) {
		w.log.Info("peer: writes reach the writer again")
	}
}

// giveUp is the error of a call that is not sent again. Only its text has the cause, which
// may be an error of another member, and is not one here.
func (w *Writes) giveUp(c *call) error {
	kind := registry.ErrNotWriter
	if c.uncertain {
		kind = registry.ErrUncertain
	}
	switch err := c.ctx.Err(); {
	case err != nil && !c.uncertain:
		return fmt.Errorf("peer: %w", err)
	case err != nil:
		return fmt.Errorf("%w: the request ended before the answer of the writer: %v", kind, err)
	case w.life.Err() != nil && !c.uncertain:
		return registry.ErrClosed
	case w.life.Err() != nil:
		return fmt.Errorf("%w: dnsd is stopping", kind)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	cause := cmp.Or(w.cause, errNoAnswer.Error())
	if !w.told.Swap(true) {
		w.log.Warn("peer: writes do not reach a writer", "error", cause)
	}
	return fmt.Errorf("%w: %s", kind, cause)
}

// errNoAnswer: nothing failed, it just takes too long.
var errNoAnswer = errors.New("the writer has not answered in time")
