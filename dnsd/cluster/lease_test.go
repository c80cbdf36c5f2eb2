package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// TestAKeepaliveIsNotAnsweredByAnOldAnswer: an answer that comes after its call was given
// up says that the lease began again then, not later.
func TestAKeepaliveIsNotAnsweredByAnOldAnswer(t *testing.T) {
	answer := make(chan struct{})
	streams := make(chan struct{}, 10)
	f := (&fake{keep: func(s pb.Lease_LeaseKeepAliveServer) error {
		streams <- struct{}{}
		for {
			r, err := s.Recv()
			if err != nil {
				return err
			}
			select {
			case <-answer:
			case <-s.Context().Done():
				return s.Context().Err()
			}
			if err := s.Send(&pb.LeaseKeepAliveResponse{ID: r.ID, TTL: 5}); err != nil {
				return err
			}
		}
	}}).start(t)
	s := f.open(t)
	if err := s.KeepAlive(soon(t, 300*time.Millisecond), 7); !errors.Is(err, kv.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	result := make(chan error)
	go func() { result <- s.KeepAlive(t.Context(), 7) }()
	<-streams
	<-streams // the first one is over, and with it its answer
	answer <- struct{}{}
	if err := <-result; err != nil {
		t.Error(err)
	}
	close(answer)
	if err := s.KeepAlive(t.Context(), 7); err != nil {
		t.Error(err)
	}
	if len(streams) != 0 {
		t.Error("a stream that works was not used again")
	}
}

func TestAKeepaliveThatIsAnsweredForAnotherLease(t *testing.T) {
	f := (&fake{keep: func(s pb.Lease_LeaseKeepAliveServer) error {
		for {
			if _, err := s.Recv(); err != nil {
				return err
			}
			if err := s.Send(&pb.LeaseKeepAliveResponse{ID: 8, TTL: 5}); err != nil {
				return err
			}
		}
	}}).start(t)
	if err := f.open(t).KeepAlive(t.Context(), 7); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
}

// TestAStreamThatEndedWhileItWasNotUsed: the next keepalive opens one again.
func TestAStreamThatEndedWhileItWasNotUsed(t *testing.T) {
	calls := make(chan struct{}, 10)
	f := (&fake{keep: func(s pb.Lease_LeaseKeepAliveServer) error {
		calls <- struct{}{}
		r, err := s.Recv()
		if err != nil {
			return err
		}
		return s.Send(&pb.LeaseKeepAliveResponse{ID: r.ID, TTL: 5}) // and it ends
	}}).start(t)
	s := f.open(t)
	for range 3 {
		if err := s.KeepAlive(t.Context(), 7); err != nil {
			t.Error(err)
		}
	}
	if n := len(calls); n != 3 {
		t.Errorf("%d streams", n)
	}
}
