package cluster

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// soon bounds what has to be done at once.
func soon(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

func TestAWriteIsUncertainOnlyIfItWasSent(t *testing.T) {
	e := startEtcd(t)
	p := startProxy(t, host(e.url))
	s := e.open(t, func(s *dnsd.SharedStore) { s.Endpoints = []string{"http://" + p.Addr().String()} })
	must(t, s, put("a", "0"))

	t.Run("the reply is lost", func(t *testing.T) {
		p.silence()
		result := make(chan error)
		value := strings.Repeat("x", 1000)
		go func() {
			_, err := s.Txn(t.Context(), put("a", value))
			result <- err
		}()
		await(t, func() bool {
			r, err := e.admin.Get(t.Context(), "a")
			return err == nil && string(r.Kvs[0].Value) == value
		})
		p.cut()
		if err := <-result; !errors.Is(err, kv.ErrUncertain) {
			t.Errorf("the error is %v", err)
		}
		p.set(false)
	})
	t.Run("the reply does not come in time", func(t *testing.T) {
		must(t, s, put("a", "1")) // the connection is there again
		p.silence()
		_, err := s.Txn(soon(t, patience/4), put("a", "2"))
		if !errors.Is(err, kv.ErrUncertain) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		p.set(false)
		p.cut()
	})
	t.Run("there is no connection", func(t *testing.T) {
		p.set(true)
		p.cut()
		before, err := e.admin.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		// The first attempts may still use the connection that was cut.
		for {
			_, err := s.Txn(t.Context(), put("a", "3"))
			if errors.Is(err, kv.ErrUncertain) {
				continue
			}
			if !errors.Is(err, kv.ErrUnavailable) {
				t.Errorf("the error is %v", err)
			}
			break
		}
		_, err = s.Txn(soon(t, 100*time.Millisecond), put("a", "4"))
		if !errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrUncertain) {
			t.Errorf("the error is %v", err)
		}
		after, err := e.admin.Get(t.Context(), "a")
		if err != nil || string(after.Kvs[0].Value) == "4" || after.Kvs[0].ModRevision > before.Kvs[0].ModRevision {
			t.Errorf("it was done: %v, %v", after, err)
		}
	})
}

// TestAServerSeesTheEndOfTheDeadlineFirst: the call was given up, and the server is not
// blamed for it.
func TestAServerSeesTheEndOfTheDeadlineFirst(t *testing.T) {
	early := status.Error(codes.DeadlineExceeded, "context deadline exceeded")
	f := &fake{
		get: func(*pb.RangeRequest) (*pb.RangeResponse, error) { return nil, early },
		txn: func(*pb.TxnRequest) (*pb.TxnResponse, error) { return nil, early },
	}
	s := f.start(t).open(t)
	must := func(err error, also error) {
		t.Helper()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, also) || strings.Contains(err.Error(), "no answer for") {
			t.Errorf("the error is %v", err)
		}
	}
	_, _, err := s.Get(soon(t, time.Minute), "a") // it makes the connection
	if err == nil {
		t.Error("there is no error")
	}
	_, _, err = s.Get(soon(t, 90*time.Millisecond), "a")
	must(err, kv.ErrUnavailable)
	_, err = s.Txn(soon(t, 90*time.Millisecond), put("a", "1"))
	must(err, kv.ErrUncertain)
}

func TestTheNextServerIsUsedWhenOneIsAway(t *testing.T) {
	away, e := startProxy(t, "127.0.0.1:1"), startEtcd(t)
	s := e.open(t, func(s *dnsd.SharedStore) {
		s.Endpoints = []string{"http://" + away.Addr().String(), e.url}
	})
	must(t, s, put("a", "1"))
	l, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KeepAlive(t.Context(), l.ID); err != nil {
		t.Error(err)
	}
	w := s.Watch(t.Context(), "a", 0)
	defer w.Close()
	if c, err := w.Next(soon(t, time.Minute)); err != nil || len(c.Events) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestWhenTheStoreIsBackEverythingGoesOn: after kill -9, on the same port.
func TestWhenTheStoreIsBackEverythingGoesOn(t *testing.T) {
	e := startProcess(t)
	s := e.open(t)
	l, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KeepAlive(t.Context(), l.ID); err != nil {
		t.Fatal(err)
	}
	revision := must(t, s, put("a", "1"))
	w := s.Watch(t.Context(), "a", revision)
	e.Signal(os.Kill)
	if _, err := w.Next(soon(t, time.Minute)); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("the watch: %v", err)
	}
	if _, _, err := s.Get(soon(t, time.Minute), "a"); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("a read: %v", err)
	}
	e.Kill()
	e.start(t)
	deadline := soon(t, time.Minute)
	await(t, func() bool { _, _, err := s.Get(deadline, "a"); return err == nil })
	if err := s.KeepAlive(deadline, l.ID); err != nil {
		t.Errorf("the lease: %v", err)
	}
	w = s.Watch(t.Context(), "a", revision)
	defer w.Close()
	must(t, s, put("a", "2"))
	if c, err := w.Next(deadline); err != nil || string(c.Events[0].Value) != "2" {
		t.Errorf("the watch: %+v, %v", c, err)
	}
}

func TestAnOperatorsKeysAreNotSeen(t *testing.T) {
	e := startEtcd(t)
	s := e.open(t)
	revision := must(t, s, put("/rollcall/svc/head", "1"))
	w := s.Watch(t.Context(), "/rollcall/svc/", revision)
	defer w.Close()
	if _, err := e.admin.Put(t.Context(), "/other", "x", clientv3.WithPrevKV()); err != nil {
		t.Fatal(err)
	}
	must(t, s, put("/rollcall/svc/head", "2"))
	if c, err := w.Next(t.Context()); err != nil || len(c.Events) != 1 || c.Header.Revision != revision+2 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestTheOnlyServerIsKeptThroughAnElection: what it says to a call ends no watch of it.
func TestTheOnlyServerIsKeptThroughAnElection(t *testing.T) {
	answers := make(chan int64)
	f := (&fake{watch: func(s pb.Watch_WatchServer) error {
		s.Recv()
		s.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1}, Created: true})
		for revision := range answers {
			s.Send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: revision}, Events: []*mvccpb.Event{event("a", revision)}})
		}
		return nil
	}}).start(t)
	s := f.open(t)
	w := s.Watch(t.Context(), "a", 1)
	defer w.Close()
	defer close(answers)
	answers <- 2
	if _, err := w.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, says := range []error{rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCTimeoutDueToLeaderFail} {
		f.get = func(*pb.RangeRequest) (*pb.RangeResponse, error) { return nil, says }
		if _, _, err := s.Get(t.Context(), "a"); !isUnavailable(err) {
			t.Errorf("the error is %v", err)
		}
	}
	answers <- 3
	if c, err := w.Next(t.Context()); err != nil || c.Header.Revision != 3 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	e := startProcess(t)
	before := goleak.IgnoreCurrent()
	s, err := Stores{}.Open(t.Context(), dnsd.SharedStore{Endpoints: []string{e.url, "http://127.0.0.1:1"}}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KeepAlive(t.Context(), l.ID); err != nil {
		t.Fatal(err)
	}
	w := s.Watch(t.Context(), "", must(t, s, put("a", "1"))-1)
	if _, err := w.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Status(t.Context())
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}
