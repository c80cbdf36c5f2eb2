package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// watch is a stream from one server. One goroutine receives, and hands over what it has
// received before it receives more, so that a slow reader makes etcd wait.
type watch struct {
	changes chan kv.Changes
	stop    context.CancelFunc
	done    chan struct{} // closed after err is set
	err     error
	over    error // that of Next's context, which has ended the watch
}

// Watch implements [kv.Store].
func (c *client) Watch(ctx context.Context, prefix string, after int64) kv.Watch {
	ctx, stop := context.WithCancel(ctx)
	w := &watch{changes: make(chan kv.Changes), stop: stop, done: make(chan struct{})}
	c.watches.Go(func() {
		defer close(w.done)
		defer stop()
		defer context.AfterFunc(c.life, stop)()
		w.err = c.follow(ctx, prefix, after, w.changes)
	})
	return w
}

// Next implements [kv.Watch].
func (w *watch) Next(ctx context.Context) (kv.Changes, error) {
	if w.over != nil {
		return kv.Changes{}, w.over
	}
	select {
	case changes := <-w.changes:
		return changes, nil
	case <-w.done:
		return kv.Changes{}, w.err
	case <-ctx.Done():
		w.over = ctx.Err()
		w.stop()
		return kv.Changes{}, w.over
	}
}

// Close implements [kv.Watch].
func (w *watch) Close() {
	w.stop()
	<-w.done
}

// follow begins a watch at one server after another until one answers, and hands over
// what it says until that ends. It always returns an error.
func (c *client) follow(ctx context.Context, prefix string, after int64, changes chan<- kv.Changes) error {
	var last error
	at := after // up to which changes were handed over
	for range c.servers {
		s := c.at()
		began, started := time.Now(), false
		err := c.try(ctx, s, func(ctx context.Context, s *server) error {
			return s.follow(ctx, prefix, &at, changes, &started)
		})
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = ctx.Err()
		}
		last = s.judge(ctx, "watch", err, false)
		if errors.Is(last, kv.ErrTooLarge) {
			last = &fault{kind: kv.ErrCompacted, place: s.url, op: "watch", cause: fmt.Errorf("the changes after revision %d are more than %d MiB: all is to be read again", at, maxAnswer>>20)}
		}
		if !elsewhere(last) || ctx.Err() != nil {
			return last
		}
		c.leaveAfter(ctx, s, began, last)
		if started {
			return last
		}
	}
	return last
}

// follow begins a watch at this server after the revision *at, and moves that on with what
// it hands over. started is set when the server has begun.
func (s *server) follow(ctx context.Context, prefix string, at *int64, changes chan<- kv.Changes, started *bool) error {
	use := s.inUse()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(use, func() { cancel(context.Cause(use)) })()
	late := time.AfterFunc(patience, func() { cancel(status.Error(codes.Unavailable, fmt.Sprintf("no answer for %v", patience))) })
	defer late.Stop()

	stream, err := s.watch.Watch(ctx)
	if err != nil {
		return cause(ctx, err)
	}
	from, end := span(prefix)
	err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		// Progress: every ten minutes or so, etcd says up to where nothing has changed.
		// Without fragments, the changes of a revision are never divided.
		Key: from, RangeEnd: end, StartRevision: *at + 1, ProgressNotify: true,
	}}})
	if err != nil {
		_, err = stream.Recv()
		return cause(ctx, err)
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return cause(ctx, err)
		}
		if late.Stop() {
			*started = true
		}
		if err := ended(answer); err != nil {
			return err
		}
		if answer.GetCreated() {
			continue // its revision says nothing about changes that are still to come
		}
		next, err := changesOf(answer, prefix, *at)
		if err != nil {
			return err
		}
		select {
		case changes <- next:
			*at = max(*at, next.Header.Revision)
		case <-ctx.Done():
			return cause(ctx, ctx.Err())
		}
	}
}

// cause is why a context was ended here, or else err.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && !errors.Is(why, context.Canceled) {
		return why
	}
	return err
}

// ended says why etcd ends a watch with an answer, or nil.
func ended(answer *pb.WatchResponse) error {
	reason := answer.GetCancelReason()
	switch {
	case answer.GetCompactRevision() != 0:
		return &fault{kind: kv.ErrCompacted, op: "watch", cause: fmt.Errorf("changes before revision %d were compacted", answer.GetCompactRevision())}
	case !answer.GetCanceled():
		return nil
	}
	// The reason is a text that holds the one of the error.
	for _, e := range []error{rpctypes.ErrPermissionDenied, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision, rpctypes.ErrUserEmpty, rpctypes.ErrCompacted} {
		if strings.Contains(reason, e.Error()) {
			return e
		}
	}
	if reason == "" {
		reason = "it gave no reason"
	}
	return errors.New("etcd ended the watch: " + reason)
}

// changesOf takes over an answer of a watch after the revision at.
func changesOf(answer *pb.WatchResponse, prefix string, at int64) (kv.Changes, error) {
	h, err := header(answer.GetHeader())
	if err != nil {
		return kv.Changes{}, err
	}
	next := kv.Changes{Header: h}
	for _, e := range answer.GetEvents() {
		p := pair(e.GetKv())
		// A watch that catches up has the store's revision in its header, while changes
		// before it are still to come.
		if next.Header.Revision = p.Modified; p.Modified <= at || !strings.HasPrefix(p.Key, prefix) {
			return kv.Changes{}, errBroken
		}
		if n := len(next.Events); n > 0 && next.Events[n-1].Modified > p.Modified {
			return kv.Changes{}, errBroken
		}
		next.Events = append(next.Events, kv.Event{Pair: p, Deleted: e.GetType() == mvccpb.Event_DELETE})
	}
	return next, nil
}

// Tests: conformance_test.go, watch_test.go.
