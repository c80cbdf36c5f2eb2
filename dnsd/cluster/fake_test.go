package cluster

import (
	"context"
	"net"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// A fake is a server that answers what a test wants. What it lacks is unimplemented.
type fake struct {
	pb.UnimplementedKVServer
	pb.UnimplementedWatchServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedMaintenanceServer
	pb.UnimplementedClusterServer
	pb.UnimplementedAuthServer

	url     string
	version string
	get     func(*pb.RangeRequest) (*pb.RangeResponse, error)
	txn     func(*pb.TxnRequest) (*pb.TxnResponse, error)
	watch   func(pb.Watch_WatchServer) error
	keep    func(pb.Lease_LeaseKeepAliveServer) error

	authenticate func(context.Context) (token string, err error) // nil: without passwords
}

// start starts the fake until the test ends.
func (f *fake) start(t testing.TB) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, f)
	pb.RegisterWatchServer(s, f)
	pb.RegisterLeaseServer(s, f)
	pb.RegisterMaintenanceServer(s, f)
	pb.RegisterClusterServer(s, f)
	pb.RegisterAuthServer(s, f)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	f.url = "http://" + l.Addr().String()
	return f
}

// open opens the store of the fake.
func (f *fake) open(t testing.TB) kv.Store {
	t.Helper()
	s, err := Stores{}.Open(t.Context(), dnsd.SharedStore{Endpoints: []string{f.url}}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (f *fake) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	version := f.version
	if version == "" {
		version = "3.5.9"
	}
	return &pb.StatusResponse{Header: &pb.ResponseHeader{MemberId: 1}, Version: version, Leader: 1}, nil
}

func (f *fake) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if f.get == nil {
		return &pb.RangeResponse{Header: &pb.ResponseHeader{ClusterId: 1, Revision: 1}}, nil
	}
	return f.get(r)
}

func (f *fake) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) { return f.txn(r) }

func (f *fake) Watch(s pb.Watch_WatchServer) error { return f.watch(s) }

func (f *fake) LeaseKeepAlive(s pb.Lease_LeaseKeepAliveServer) error { return f.keep(s) }

func (f *fake) Authenticate(ctx context.Context, _ *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	if f.authenticate == nil {
		return nil, rpctypes.ErrGRPCAuthNotEnabled
	}
	token, err := f.authenticate(ctx)
	return &pb.AuthenticateResponse{Token: token}, err
}
