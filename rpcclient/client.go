package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// A Client calls one service. It is safe for concurrent use. Make one Client for a
// service, and keep it.
type Client struct {
	service   string
	cfg       Config
	conns     *conn.Set
	group     *balancer.Group
	budget    *balancer.Account
	latencies latencies
	stats     counters
	shares    shares    // for the debug page
	idleCalls sync.Pool // of *call, to be used again
	copies    copies    // of arguments, for Go
	lane      lane      // of Go

	ctx     context.Context // of everything in the background
	cancel  context.CancelFunc
	running sync.WaitGroup

	state    atomic.Pointer[resolver.State] // the last one of the Source; nil before the first
	hopeless atomic.Bool                    // no call need wait for a node
	changed  signal                         // a node came up, or the endpoints changed
	events   events                         // for hooks and logger
	loud     bool                           // there is a logger
	unshare  func()                         // gives the shared Resolver back; nil: there is a Source
	resolved resolution                     // what the log was told; owned by the watcher of the Source
	upNodes  atomic.Int64
	waiting  atomic.Int64 // calls that wait for a node

	awaitedNodes atomic.Int64 // the first dial of so many is under way or will be made: see node.countLocked

	reach     reach
	trusted   trustedNames
	lookAgain chan struct{} // a token: for manage
	dialling  chan struct{} // a token for each dial under way

	mu     sync.Mutex // guards what follows
	nodes  map[*node]struct{}
	byAddr map[string]*node // the nodes that the group has

	active  atomic.Int64 // calls under way, those of Go included
	closing atomic.Bool
	idle    chan struct{} // a token: closing, and the last call has left
}

// New makes a client for a service: its SRV name, "_math._tcp.svc", with or without the
// final dot. It does not wait and does not dial: calls wait for a node, and so does Ready.
// cfg may be nil.
func New(service string, cfg *Config) (*Client, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	_, ok := full.Source.(*resolver.Resolver)
	if ok || full.Source == nil || service == "" { // to another Source a name may be anything
		if err := resolver.CheckService(service); err != nil {
			return nil, fmt.Errorf("rpcclient: new: %w", err)
		}
	}
	c := &Client{
		service: service,
		cfg:     full,
		conns: conn.NewSet(conn.Config{
			PingInterval: full.Conn.PingInterval,
			PingTimeout:  full.Conn.PingTimeout,
			WriteTimeout: full.Conn.WriteTimeout,
			MaxReply:     full.Conn.MaxReply,
			Codec:        full.Conn.Codec,
		}),
		lookAgain: make(chan struct{}, 1),
		dialling:  make(chan struct{}, maxDialling),
		nodes:     make(map[*node]struct{}),
		byAddr:    make(map[string]*node),
		idle:      make(chan struct{}, 1),
		loud:      cfg != nil && cfg.Logger != nil,
	}
	c.copies.gob = full.Conn.Codec == nil
	c.events.log = full.Logger
	c.trusted = trustedNames{domain: serviceDomain(service), listed: full.Conn.TLSNames}
	policy := c.guardPolicy(full.Policy)
	c.reach = reach{policy: policy, spill: full.Health.Spill, conns: full.Conn.PerNode, most: full.Conn.MaxNodes, seed: maphash.MakeSeed()}
	c.budget = balancer.NewAccount(full.Retry.Budget)
	c.idleCalls.New = func() any { return &call{client: c, first: attempt{request: *conn.NewRequest()}} }
	c.ctx, c.cancel = context.WithCancel(context.Background())
	health := full.Health
	health.UpOnly = true // connections are dialled in the background
	c.group = balancer.NewGroup(balancer.Config{
		Policy: policy,
		Health: health,
		New:    func(n *balancer.Node) any { return c.newNode(n) },
		Gone:   func(n *balancer.Node) { n.Value().(*node).leave() },
	})
	if full.Source == nil {
		c.cfg.Source = c.share().Resolver
	}
	c.running.Go(c.manage)
	c.running.Go(c.watch)
	return c, nil
}

// now is the clock of the client and of its connections.
func (c *Client) now() time.Duration { return c.conns.Now() }

// Service returns the name given to New.
func (c *Client) Service() string { return c.service }

// Ready waits until a node is usable. If ctx ends first, the error says which server was
// asked, and what it answered.
func (c *Client) Ready(ctx context.Context) error { return c.ready(ctx, byContext) }

// ready is Ready; by names the limit that ctx's deadline is.
func (c *Client) ready(ctx context.Context, by conn.Limit) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()
	if err := c.group.Wait(ctx); err != nil {
		if c.ctx.Err() != nil {
			return fmt.Errorf("rpcclient: wait for %s: %w", c.service, ErrClosed)
		}
		if by != byContext {
			return fmt.Errorf("rpcclient: wait for %s: %w", c.service, &waitError{by, c.noNodes()})
		}
		return fmt.Errorf("rpcclient: wait for %s: %w: %w", c.service, err, c.noNodes())
	}
	return nil
}

// Shutdown takes no more calls, waits for those under way, and closes the client. If ctx
// ends first, it aborts them and returns ctx's error.
func (c *Client) Shutdown(ctx context.Context) error {
	c.mu.Lock() // Go starts nothing after this
	c.closing.Store(true)
	c.mu.Unlock()
	var err error
	if c.active.Load() > 0 {
		select {
		case <-c.idle:
			c.offerIdle() // for another Shutdown
		case <-c.ctx.Done():
		case <-ctx.Done():
			err = fmt.Errorf("rpcclient: shut down %s: %w", c.service, context.Cause(ctx))
		}
	}
	return errors.Join(err, c.Close())
}

// Close aborts calls under way with ErrClosed, closes the connections, and returns when
// all goroutines of the client have ended. A second Close does nothing.
func (c *Client) Close() error {
	c.mu.Lock() // Go starts nothing after this
	c.closing.Store(true)
	c.mu.Unlock()
	c.cancel()
	c.group.Close()
	c.running.Wait() // for the nodes, too: their contexts end with that of the client
	c.conns.Wait()   // for connections that the nodes have forgotten
	if c.unshare != nil {
		c.unshare()
	}
	return nil
}

// enter counts a call, unless the client is closing.
func (c *Client) enter() bool {
	c.active.Add(1)
	if c.closing.Load() {
		c.leave()
		return false
	}
	return true
}

func (c *Client) leave() {
	if c.active.Add(-1) == 0 && c.closing.Load() {
		c.offerIdle()
	}
}

func (c *Client) offerIdle() {
	select {
	case c.idle <- struct{}{}:
	default:
	}
}

// signal tells all goroutines that wait for it that something has changed.
type signal struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// next returns a channel that the next broadcast closes.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
