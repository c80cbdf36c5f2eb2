package cluster

import (
	"context"
	"errors"
	"io"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func TestWhatAnErrorMeans(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name        string
		ctx         context.Context
		err         error
		read, write error  // what it is: of a read, and of a write that was sent
		says        string // of the read
	}{
		{"no leader", nil, rpctypes.ErrGRPCNoLeader, kv.ErrUnavailable, kv.ErrUnavailable, "etcd URL: op: no leader"},
		{"not capable", nil, rpctypes.ErrGRPCNotCapable, kv.ErrUnavailable, kv.ErrUnavailable, "etcd URL: op: not capable"},
		{"overload", nil, status.Error(codes.Unknown, "etcdserver: too many requests"), kv.ErrUnavailable, kv.ErrUnavailable, "etcd URL: op: too many requests"},
		{"timeout", nil, rpctypes.ErrGRPCTimeout, kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: request timed out"},
		{"leader failed", nil, rpctypes.ErrGRPCTimeoutDueToLeaderFail, kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: request timed out, possibly due to previous leader failure"},
		{"leader changed", nil, rpctypes.ErrGRPCLeaderChanged, kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: leader changed"},
		{"stopped", nil, rpctypes.ErrGRPCStopped, kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: server stopped"},
		{"dropped", nil, status.Error(codes.Unknown, "raft proposal dropped"), kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: raft proposal dropped"},
		{"connection lost", nil, status.Error(codes.Unavailable, "error reading from server: EOF"), kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: error reading from server: EOF"},
		{"no connection", nil, status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`), kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"no space", nil, rpctypes.ErrGRPCNoSpace, kv.ErrNoSpace, kv.ErrNoSpace, "etcd URL: op: database space exceeded"},
		{"too many operations", nil, rpctypes.ErrGRPCTooManyOps, kv.ErrTooLarge, kv.ErrTooLarge, "etcd URL: op: too many operations in txn request"},
		{"too large", nil, rpctypes.ErrGRPCRequestTooLarge, kv.ErrTooLarge, kv.ErrTooLarge, "etcd URL: op: request is too large"},
		{"too large for gRPC", nil, status.Error(codes.ResourceExhausted, "grpc: received message larger than max (1 vs. 0)"), kv.ErrTooLarge, kv.ErrTooLarge, "etcd URL: op: grpc: received message larger than max (1 vs. 0)"},
		{"gRPC wants calm", nil, status.Error(codes.ResourceExhausted, "stream terminated by RST_STREAM with error code: ENHANCE_YOUR_CALM"), kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: stream terminated by RST_STREAM with error code: ENHANCE_YOUR_CALM"},
		{"compacted", nil, rpctypes.ErrGRPCCompacted, kv.ErrCompacted, kv.ErrCompacted, "etcd URL: op: required revision has been compacted"},
		{"future", nil, rpctypes.ErrGRPCFutureRev, kv.ErrCompacted, kv.ErrCompacted, "etcd URL: op: required revision is a future revision"},
		{"lease", nil, rpctypes.ErrGRPCLeaseNotFound, kv.ErrLeaseGone, kv.ErrLeaseGone, "etcd URL: op: requested lease not found"},
		{"permission", nil, rpctypes.ErrGRPCPermissionDenied, kv.ErrDenied, kv.ErrDenied, "etcd URL: op: permission denied: grant the user the rights to the prefix that docs/cluster.md shows"},
		{"no password", nil, rpctypes.ErrGRPCUserEmpty, kv.ErrDenied, kv.ErrDenied, "etcd URL: op: user name is empty: it asks for a password: give it the line user NAME file PATH"},
		{"cancelled", ended, status.Error(codes.Canceled, "context canceled"), kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: context canceled"},
		{"cancelled while it waits", ended, status.Error(codes.Canceled, "no connection yet"), kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: context canceled (no connection yet)"},
		{"anything else", nil, io.ErrUnexpectedEOF, kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: unexpected EOF"},
		{"an error that is no key", nil, unhashable{"x"}, kv.ErrUnavailable, kv.ErrUncertain, "etcd URL: op: unhashable"},
	} {
		ctx := tc.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		s := &server{url: "URL", life: t.Context()}
		read, write := s.judge(ctx, "op", tc.err, false), s.judge(ctx, "op", tc.err, true)
		if !errors.Is(read, tc.read) || !errors.Is(write, tc.write) {
			t.Errorf("%s: a read has %v, a write %v", tc.name, read, write)
		}
		if ctx.Err() != nil && !errors.Is(read, ctx.Err()) {
			t.Errorf("%s: %v is not the context's", tc.name, read)
		}
		if read.Error() != tc.says {
			t.Errorf("%s: %q, want %q", tc.name, read, tc.says)
		}
		if again := s.judge(ctx, "outer", read, true); again != read {
			t.Errorf("%s: judged twice it is %v", tc.name, again)
		}
	}
}

type unhashable []string

func (unhashable) Error() string { return "unhashable" }

func TestAfterTheEndOfAClientItIsClosed(t *testing.T) {
	life, end := context.WithCancel(t.Context())
	end()
	s := &server{url: "URL", life: life}
	err := status.Error(codes.Canceled, "grpc: the client connection is closing")
	if read := s.judge(t.Context(), "op", err, false); !errors.Is(read, kv.ErrClosed) {
		t.Error(read)
	}
	if write := s.judge(t.Context(), "op", err, true); !errors.Is(write, kv.ErrUncertain) {
		t.Error(write)
	}
}
