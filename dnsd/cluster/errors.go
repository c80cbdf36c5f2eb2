package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// fault is an error of the store: what kind it is, where it was, and what was said.
type fault struct {
	kind  error  // one of package kv, or nil
	place string // a server's URL
	op    string // what was tried
	cause error

	answered bool // etcd said it
}

func (f *fault) Error() string {
	text := f.op + ": " + f.cause.Error()
	if f.place != "" {
		text = f.place + ": " + text
	}
	switch {
	case f.kind == kv.ErrUncertain:
		text += " (it may have been done)"
	case f.is(rpctypes.ErrUserEmpty):
		text += ": it asks for a password: give it the line user NAME file PATH"
	case f.is(rpctypes.ErrPermissionDenied):
		text += ": grant the user the rights to the prefix that docs/cluster.md shows"
	}
	return "etcd " + text
}

func (f *fault) Unwrap() []error {
	if f.kind == nil {
		return []error{f.cause}
	}
	return []error{f.kind, f.cause}
}

// meanings are the answers of etcd that say for sure that nothing was done, each with
// the error that it is here. Of every other answer to a write, such as
// "etcdserver: request timed out", the outcome is unknown: etcd gives it when a proposal
// has not been decided yet.
var meanings = map[error]error{
	rpctypes.ErrTooManyOps:      kv.ErrTooLarge,
	rpctypes.ErrRequestTooLarge: kv.ErrTooLarge,
	rpctypes.ErrLeaseNotFound:   kv.ErrLeaseGone,
	rpctypes.ErrCompacted:       kv.ErrCompacted,
	// The store was restored from a copy: it does not have the revision either.
	rpctypes.ErrFutureRev: kv.ErrCompacted,

	// Etcd answers so both before it proposes a write and after it has done it. Txn finds
	// out which it was.
	rpctypes.ErrNoSpace: kv.ErrNoSpace,

	rpctypes.ErrNoLeader:               kv.ErrUnavailable,
	rpctypes.ErrNotCapable:             kv.ErrUnavailable, // it has not joined the others yet
	rpctypes.ErrTooManyRequests:        kv.ErrUnavailable,
	rpctypes.ErrCorrupt:                kv.ErrUnavailable,
	learner:                            kv.ErrUnavailable,
	rpctypes.ErrUserEmpty:              kv.ErrDenied,
	rpctypes.ErrAuthFailed:             kv.ErrDenied,
	rpctypes.ErrPermissionDenied:       kv.ErrDenied,
	rpctypes.ErrInvalidAuthToken:       kv.ErrDenied,
	rpctypes.ErrAuthOldRevision:        kv.ErrDenied,
	rpctypes.ErrInvalidAuthMgmt:        kv.ErrDenied,
	rpctypes.ErrDuplicateKey:           nil,
	rpctypes.ErrEmptyKey:               nil,
	rpctypes.ErrMemberExist:            nil,
	rpctypes.ErrPeerURLExist:           nil,
	rpctypes.ErrMemberBadURLs:          nil,
	rpctypes.ErrMemberNotFound:         nil,
	rpctypes.ErrMemberNotEnoughStarted: nil,
	rpctypes.ErrUnhealthy:              nil, // given for changes of members only
}

var learner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// meaning looks an error up in meanings. An error of another type may not be a key of a
// map.
func meaning(err error) (kind error, ok bool) {
	if e, is := rpctypes.Error(err).(rpctypes.EtcdError); is {
		kind, ok = meanings[e]
	}
	return kind, ok
}

// judge makes a fault of the error of a call. sent says that the call is a write whose
// request has left this process.
func (s *server) judge(ctx context.Context, op string, err error, sent bool) error {
	if f := (*fault)(nil); errors.As(err, &f) {
		return err
	}
	f := &fault{place: s.url, op: op, cause: plain(err)}
	_, f.answered = rpctypes.Error(err).(rpctypes.EtcdError)
	if kind, ok := meaning(err); ok {
		f.kind = kind
		return f
	}
	code := status.Code(err)
	if ended := ctx.Err(); ended != nil && (code == codes.DeadlineExceeded || code == codes.Canceled) {
		if f.cause.Error() == ended.Error() {
			f.cause = ended
		} else {
			f.cause = fmt.Errorf("%w (%w)", ended, f.cause) // gRPC says what it waited for
		}
	}
	refusal := s.refusal()
	switch {
	case code == codes.ResourceExhausted && strings.Contains(f.cause.Error(), "larger than max"):
		// The message is larger than one end takes. gRPC has no type for it. Etcd's own
		// errors with this code are above.
		f.kind = kv.ErrTooLarge
	case sent:
		f.kind = kv.ErrUncertain
	case s.life.Err() != nil:
		f.kind = kv.ErrClosed
	case refusal != nil && code == codes.Unavailable:
		f.kind, f.cause = kv.ErrDenied, refusal
	default:
		f.kind = kv.ErrUnavailable
	}
	return f
}

// elsewhere says whether an error may be another one at another server.
func elsewhere(err error) bool { return errors.Is(err, kv.ErrUnavailable) }

// plain is an error of gRPC without the words that it is one.
func plain(err error) error {
	st, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	text := st.Message()
	for _, prefix := range []string{"connection error: desc = ", "transport: ", "Error while dialing: ", "etcdserver: ", "mvcc: "} {
		text = strings.TrimPrefix(strings.Trim(text, `"`), prefix)
	}
	return errors.New(text)
}
