package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// patience is how long a server may keep a call waiting before the next server is used.
// It is longer than etcd's election, 1s by default, and two of them are shorter than the
// default session of 5s, in which a keepalive has to find a server that works.
const patience = 2 * time.Second

// client is a [kv.Store] on etcd.
type client struct {
	servers []*server
	token   *token // nil: without a user
	limits  kv.Limits
	log     *slog.Logger

	current atomic.Int64 // the index of the server in use
	life    context.Context
	end     context.CancelFunc
	watches sync.WaitGroup
}

// newClient makes a client without servers.
func newClient(limits kv.Limits, log *slog.Logger) *client {
	c := &client{limits: limits, log: log}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Limits implements [kv.Store].
func (c *client) Limits() kv.Limits { return c.limits }

// Close implements [kv.Store].
func (c *client) Close() error {
	c.end()
	for _, s := range c.servers {
		s.conn.Close()
	}
	c.watches.Wait()
	return nil
}

// at is the server in use.
func (c *client) at() *server { return c.servers[c.current.Load()] }

// leave goes from a server on to the next one, if the server is still in use.
func (c *client) leave(s *server, reason error) {
	i := c.current.Load()
	if c.servers[i] != s {
		return
	}
	next := (i + 1) % int64(len(c.servers))
	if !c.current.CompareAndSwap(i, next) {
		return
	}
	s.leave(reason)
	if next != i {
		c.log.Debug("store: another server of etcd is used", "server", c.servers[next].url, "reason", reason)
	}
}

// read makes a call that may be made twice. It is made to one server after another,
// until one answers.
func (c *client) read(ctx context.Context, op string, call func(context.Context, *server) error) error {
	var last error
	for n := range c.servers {
		s := c.at()
		limited, cancel := ctx, context.CancelFunc(func() {})
		if n < len(c.servers)-1 {
			limited, cancel = context.WithTimeout(ctx, patience)
		}
		began := time.Now()
		err := c.try(limited, s, call)
		cancel()
		if err == nil {
			return nil
		}
		last = s.judge(ctx, op, hung(ctx, err), false)
		if !elsewhere(last) {
			return last
		}
		c.leaveAfter(ctx, s, began, last)
		if ctx.Err() != nil {
			return last
		}
	}
	return last
}

// write makes a call that must not be made twice. It is made to another server only if
// it was for sure not done.
func (c *client) write(ctx context.Context, op string, call func(context.Context, *server) error) error {
	var last error
	for range c.servers {
		s := c.at()
		began := time.Now()
		var sent *atomic.Bool
		err := c.try(ctx, s, func(ctx context.Context, s *server) error {
			ctx, sent = noteSent(ctx)
			err := call(ctx, s)
			if stale(err) {
				sent.Store(false) // it was refused
			}
			return err
		})
		if err == nil {
			return nil
		}
		last = s.judge(ctx, op, err, sent != nil && sent.Load())
		uncertain := errors.Is(last, kv.ErrUncertain)
		if !elsewhere(last) && !uncertain {
			return last
		}
		c.leaveAfter(ctx, s, began, last)
		if uncertain || ctx.Err() != nil {
			return last
		}
	}
	return last
}

// leaveAfter leaves a server that a call failed at. A call that was given up soon says
// nothing about the server. The only server is not left while it answers: its watches and
// keepalives outlive an election.
func (c *client) leaveAfter(ctx context.Context, s *server, began time.Time, reason error) {
	if ctx.Err() != nil && time.Since(began) < patience/2 {
		return
	}
	if f := (*fault)(nil); len(c.servers) == 1 && errors.As(reason, &f) && f.answered {
		return
	}
	c.leave(s, reason)
}

// hung makes a clear error of a call that took longer than patience.
func hung(ctx context.Context, err error) error {
	if ctx.Err() == nil && (status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded)) {
		return status.Error(codes.Unavailable, fmt.Sprintf("no answer for %v", patience))
	}
	return err
}

// try makes a call to one server, with a token if there is a user, again if the token
// was too old. Before the first call, the server's version is checked.
func (c *client) try(ctx context.Context, s *server, call func(context.Context, *server) error) error {
	err := c.token.with(ctx, s, s.check)
	if err != nil {
		return err
	}
	err = c.token.with(ctx, s, func(ctx context.Context) error { return call(withLeader(ctx), s) })
	if status.Code(err) == codes.DeadlineExceeded {
		awaitDeadline(ctx)
	}
	return err
}

// awaitDeadline waits until a context ends whose deadline is here. A server knows the
// deadline of a call, and its clock may be the first to get there. Without the wait, the
// end of the caller's patience would look like a server that hangs.
func awaitDeadline(ctx context.Context) {
	const early = 100 * time.Millisecond
	if d, ok := ctx.Deadline(); ok && time.Until(d) < early {
		<-ctx.Done()
	}
}

// withLeader makes a server that has lost the others say so at once.
func withLeader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
}

// Tests: client_test.go, conformance_test.go.
