package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func event(key string, revision int64) *mvccpb.Event {
	return &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}}
}

func TestWhatEtcdSaysToAWatch(t *testing.T) {
	h := &pb.ResponseHeader{ClusterId: 1, Revision: 100}
	for name, tc := range map[string]struct {
		answer *pb.WatchResponse
		err    error // nil: revision
		revision,
		events int64
	}{
		"changes of two revisions": {&pb.WatchResponse{Header: h, Events: []*mvccpb.Event{event("a1", 11), event("a2", 11), event("a1", 12)}}, nil, 12, 3},
		"nothing has changed":      {&pb.WatchResponse{Header: h}, nil, 100, 0},
		"compacted":                {&pb.WatchResponse{Header: h, Canceled: true, CompactRevision: 50}, kv.ErrCompacted, 0, 0},
		"compacted, as 3.4 says":   {&pb.WatchResponse{Header: h, CompactRevision: 50}, kv.ErrCompacted, 0, 0},
		"not permitted":            {&pb.WatchResponse{Header: h, Created: true, Canceled: true, CancelReason: rpctypes.ErrGRPCPermissionDenied.Error()}, kv.ErrDenied, 0, 0},
		"ended":                    {&pb.WatchResponse{Header: h, Canceled: true}, kv.ErrUnavailable, 0, 0},
		"ended for a reason":       {&pb.WatchResponse{Header: h, Canceled: true, CancelReason: "tired"}, kv.ErrUnavailable, 0, 0},
		"no header":                {&pb.WatchResponse{}, kv.ErrUnavailable, 0, 0},
		"no key":                   {&pb.WatchResponse{Header: h, Events: []*mvccpb.Event{{}}}, kv.ErrUnavailable, 0, 0},
		"another prefix":           {&pb.WatchResponse{Header: h, Events: []*mvccpb.Event{event("b", 11)}}, kv.ErrUnavailable, 0, 0},
		"a revision of before":     {&pb.WatchResponse{Header: h, Events: []*mvccpb.Event{event("a", 10)}}, kv.ErrUnavailable, 0, 0},
		"not in order":             {&pb.WatchResponse{Header: h, Events: []*mvccpb.Event{event("a", 12), event("a", 11)}}, kv.ErrUnavailable, 0, 0},
	} {
		f := (&fake{watch: func(s pb.Watch_WatchServer) error {
			r, err := s.Recv()
			if err != nil {
				return err
			}
			if c := r.GetCreateRequest(); c.GetStartRevision() != 11 || c.GetFragment() || !c.GetProgressNotify() || string(c.GetKey())+string(c.GetRangeEnd()) != "ab" {
				t.Errorf("%s: the request is %v", name, r)
			}
			if !tc.answer.Created {
				s.Send(&pb.WatchResponse{Header: h, Created: true})
			}
			s.Send(tc.answer)
			<-s.Context().Done()
			return nil
		}}).start(t)
		w := f.open(t).Watch(t.Context(), "a", 10)
		c, err := w.Next(t.Context())
		switch {
		case tc.err != nil:
			if !errors.Is(err, tc.err) {
				t.Errorf("%s: the error is %v", name, err)
			}
			if _, again := w.Next(t.Context()); !errors.Is(again, tc.err) {
				t.Errorf("%s: the next error is %v", name, again)
			}
		case err != nil || c.Header != (kv.Header{Cluster: 1, Revision: tc.revision}) || int64(len(c.Events)) != tc.events:
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		w.Close()
	}
}

// TestAReaderThatIsSlowMakesEtcdWait: what is not read stays with etcd.
func TestAReaderThatIsSlowMakesEtcdWait(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	sent := make(chan int64, 1000)
	f := (&fake{watch: func(s pb.Watch_WatchServer) error {
		s.Recv()
		s.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1}, Created: true})
		for i := int64(2); i < 1000; i++ {
			e := event("a", i)
			e.Kv.Value = make([]byte, size)
			if err := s.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: i}, Events: []*mvccpb.Event{e}}); err != nil {
				return err
			}
			sent <- i
		}
		return nil
	}}).start(t)
	w := f.open(t).Watch(t.Context(), "a", 1)
	defer w.Close()
	if _, err := w.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Send returns when the octets are in the other end's window, which grows to at most 16 MiB.
	last := int64(0)
	for quiet := false; !quiet; {
		select {
		case last = <-sent:
		case <-time.After(time.Second):
			quiet = true
		}
	}
	if last > 64 {
		t.Errorf("etcd has sent %d MiB to a reader that reads one", last)
	}
}

// TestAWatchThatDoesNotBegin: the server takes it, and says nothing.
func TestAWatchThatDoesNotBegin(t *testing.T) {
	t.Parallel()
	f := (&fake{watch: func(s pb.Watch_WatchServer) error {
		<-s.Context().Done()
		return nil
	}}).start(t)
	s := f.open(t)
	w := s.Watch(t.Context(), "a", 1)
	if _, err := w.Next(t.Context()); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	w = s.Watch(ctx, "a", 1)
	cancel()
	if _, err := w.Next(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	w.Close()
}

// TestATokenThatEndsDuringAWatch: the watch goes on where it was.
func TestATokenThatEndsDuringAWatch(t *testing.T) {
	from := make(chan int64, 10)
	f := (&fake{watch: func(s pb.Watch_WatchServer) error {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		start := r.GetCreateRequest().GetStartRevision()
		from <- start
		s.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 9}, Created: true})
		s.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: start}, Events: []*mvccpb.Event{event("a", start)}})
		if start == 5 {
			return rpctypes.ErrGRPCInvalidAuthToken
		}
		<-s.Context().Done()
		return nil
	}}).start(t)
	s := f.open(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.(*client).token = newToken("u", password)
	w := s.Watch(t.Context(), "a", 4)
	defer w.Close()
	if c, err := w.Next(t.Context()); err != nil || c.Events[0].Modified != 5 {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err := w.Next(t.Context()); err != nil || c.Events[0].Modified != 6 {
		t.Fatalf("%+v, %v", c, err)
	}
	if first, second := <-from, <-from; first != 5 || second != 6 {
		t.Errorf("the watch was begun after %d and %d", first, second)
	}
}
