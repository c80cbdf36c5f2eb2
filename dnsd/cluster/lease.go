package cluster

import (
	"context"
	"errors"
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Grant implements [kv.Store]. Etcd counts whole seconds, and makes them at least 2 with
// its default election timeout.
func (c *client) Grant(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	seconds := int64(math.Ceil(ttl.Seconds()))
	var answer *pb.LeaseGrantResponse
	err := c.write(ctx, "grant a lease", func(ctx context.Context, s *server) (err error) {
		answer, err = s.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: max(1, seconds)})
		return err
	})
	if err != nil {
		return kv.Lease{}, err
	}
	return kv.Lease{ID: kv.LeaseID(answer.GetID()), TTL: time.Duration(answer.GetTTL()) * time.Second}, nil
}

// Revoke implements [kv.Store].
func (c *client) Revoke(ctx context.Context, id kv.LeaseID) error {
	err := c.read(ctx, "revoke a lease", func(ctx context.Context, s *server) error {
		_, err := s.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: int64(id)})
		return err
	})
	if errors.Is(err, kv.ErrLeaseGone) {
		return nil
	}
	return err
}

// KeepAlive implements [kv.Store].
func (c *client) KeepAlive(ctx context.Context, id kv.LeaseID) error {
	return c.read(ctx, "keep a lease", func(ctx context.Context, s *server) error {
		return s.keeper.keep(ctx, s, int64(id))
	})
}

// keeper is a stream of keepalives to one server. It stays open, since opening one costs
// etcd a check of the token. One keepalive at a time is on its way, so an answer is
// always that to the last request: it proves that the lease began again after the
// request was sent, not before.
type keeper struct {
	turn   chan struct{} // held to use what follows, with a bound on the wait
	stream pb.Lease_LeaseKeepAliveClient
	cancel context.CancelFunc
}

func (k *keeper) init() { k.turn = make(chan struct{}, 1) }

// keep renews a lease.
func (k *keeper) keep(ctx context.Context, s *server, id int64) error {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	fresh := k.stream == nil
	ttl, err := k.once(ctx, s, id)
	if err != nil && !fresh && ctx.Err() == nil {
		ttl, err = k.once(ctx, s, id) // the stream may have ended long ago
	}
	if err == nil && ttl <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	return err
}

// once sends one keepalive, on a new stream if there is none.
func (k *keeper) once(ctx context.Context, s *server, id int64) (ttl int64, err error) {
	if k.stream == nil {
		if err := k.open(ctx, s); err != nil {
			return 0, err
		}
	}
	stop := context.AfterFunc(ctx, k.cancel)
	err = k.stream.Send(&pb.LeaseKeepAliveRequest{ID: id})
	var answer *pb.LeaseKeepAliveResponse
	answer, received := k.stream.Recv() // of a stream that failed, it has the reason
	if received != nil {
		err = received
	}
	if !stop() || err != nil || answer.GetID() != id {
		k.cancel()
		k.stream = nil
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err == nil:
			return 0, errBroken
		}
		return 0, err
	}
	return answer.GetTTL(), nil
}

// open opens the stream. Its life is not that of the call, whose token it has.
func (k *keeper) open(ctx context.Context, s *server) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	left := context.AfterFunc(s.inUse(), end)
	cancel := func() {
		left()
		end()
	}
	stop := context.AfterFunc(ctx, end)
	stream, err := s.lease.LeaseKeepAlive(life)
	if !stop() || err != nil {
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	k.stream, k.cancel = stream, cancel
	return nil
}

// Tests: conformance_test.go, lease_test.go.
