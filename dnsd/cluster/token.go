package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// refusalPause is how long a refused password is not tried again: etcd spends a tenth of
// a second of a processor on each attempt.
const refusalPause = time.Second

// doubtPause is between two attempts to replace a token that may be the reason why calls
// are not answered. Each attempt costs as much as a refused password does.
const doubtPause = 5 * time.Second

// token is what etcd gives for a user's name and password. It is got when it is needed,
// and used until etcd refuses it, or keeps calls with it waiting. A nil token is no user.
//
// Of a token that it does not know, etcd waits until it has done as much as it had when
// the token was made. An etcd that was restored from a copy begins to count again, so it
// refuses nothing, and lets such a call wait until its deadline.
type token struct {
	user, file string

	doubted atomic.Pointer[string] // a value with which a call was not answered

	turn    chan struct{} // held to read and write what follows, with a bound on the wait
	asked   bool          // value is good
	value   string        // empty: etcd asks for no passwords
	refused error         // the last attempt, if it failed
	when    time.Time
}

func newToken(user, file string) *token {
	return &token{user: user, file: file, turn: make(chan struct{}, 1)}
}

// with makes a call with the token, and again with a new one if the token was refused:
// then nothing was done.
func (t *token) with(ctx context.Context, s *server, call func(context.Context) error) error {
	if t == nil {
		return call(ctx)
	}
	for attempt := 0; ; attempt++ {
		value, err := t.get(ctx, s)
		if err != nil {
			return err
		}
		with := ctx
		if value != "" {
			with = metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, value)
		}
		began := time.Now()
		err = call(with)
		if value != "" && time.Since(began) > patience/2 && (status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded)) {
			t.doubted.Store(&value)
		}
		if attempt > 0 || !stale(err) {
			return err
		}
		if err := t.drop(ctx, value); err != nil {
			return err
		}
	}
}

// stale says whether etcd refuses a token, not the user: it has ended, or users and
// roles were changed since, or passwords are now asked for.
func stale(err error) bool {
	e := rpctypes.Error(err)
	return errors.Is(e, rpctypes.ErrInvalidAuthToken) || errors.Is(e, rpctypes.ErrAuthOldRevision) || errors.Is(e, rpctypes.ErrUserEmpty)
}

// get returns the token, and gets one first if there is none.
func (t *token) get(ctx context.Context, s *server) (string, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if t.asked {
		if t.mayBeReplaced() {
			t.replace(ctx, s)
		}
		return t.value, nil
	}
	if t.refused != nil && time.Since(t.when) < refusalPause {
		return "", t.refused
	}
	value, err := t.ask(ctx, s)
	if err != nil {
		if kind, ok := meaning(err); ok && kind != nil {
			t.refused, t.when = err, time.Now()
		}
		return "", err
	}
	t.value, t.asked, t.refused = value, true, nil
	return value, nil
}

// ask gets a token from etcd. It is empty if etcd asks for no passwords.
func (t *token) ask(ctx context.Context, s *server) (string, error) {
	password, err := readPassword(t.file)
	if err != nil {
		return "", &fault{kind: kv.ErrDenied, place: s.url, op: "user " + t.user, cause: err}
	}
	answer, err := s.auth.Authenticate(withLeader(ctx), &pb.AuthenticateRequest{Name: t.user, Password: password})
	if errors.Is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled) {
		return "", nil
	}
	return answer.GetToken(), err
}

// mayBeReplaced says whether the token is in doubt, and was not tried to be replaced a
// moment before.
func (t *token) mayBeReplaced() bool {
	d := t.doubted.Load()
	return d != nil && *d == t.value && time.Since(t.when) > doubtPause
}

// replace gets a new token in place of one that is in doubt. An etcd that gives none is
// the reason itself why it does not answer, and the old one may be good. What is left of
// the time belongs to the call: it gets half of it.
func (t *token) replace(ctx context.Context, s *server) {
	limit := patience / 2
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t.when = time.Now()
	if value, err := t.ask(ctx, s); err == nil {
		t.value = value
	}
}

// drop forgets a token, unless there is a newer one.
func (t *token) drop(ctx context.Context, value string) error {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if t.value == value {
		t.asked = false
	}
	return nil
}

// maxPassword bounds what is read of a password's file.
const maxPassword = 4096

// readPassword returns the first line of a file.
func readPassword(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("the file of the password: %w", err)
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxPassword)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("the file of the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", fmt.Errorf("%s has no password: its first line is the password", file)
	}
	return line, nil
}

// Tests: token_test.go.
