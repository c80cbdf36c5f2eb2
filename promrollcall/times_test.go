package promrollcall_test

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/promrollcall"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// TestCallTimes: a call is counted once, by how it has ended, and its error stays as it is.
func TestCallTimes(t *testing.T) {
	times := promrollcall.NewCallTimes("math")
	ctx := context.Background()
	for outcome, err := range map[string]error{
		"ok":       nil,
		"error":    &rpcclient.Error{Executed: rpcclient.ExecutedYes, Err: rpc.ServerError("divide by zero")},
		"never":    &rpcclient.Error{Executed: rpcclient.ExecutedNever, Err: rpcclient.ErrClosed},
		"maybe":    &rpcclient.Error{Executed: rpcclient.ExecutedMaybe, Err: context.DeadlineExceeded},
		"canceled": &rpcclient.Error{Executed: rpcclient.ExecutedMaybe, Err: fmt.Errorf("given up: %w", context.Canceled)},
	} {
		for range 2 {
			got := times.Interceptor(ctx, &rpcclient.Invocation{Service: "_math._tcp.svc"}, func(context.Context, *rpcclient.Invocation) error { return err })
			if !errors.Is(got, err) {
				t.Errorf("%s: %v", outcome, got)
			}
		}
		_, text := scrape(t, times)
		want(t, text, `rollcall_client_call_duration_seconds_count{client="math",outcome="`+outcome+`",service="_math._tcp.svc"} 2`)
	}
	if _, text := scrape(t, times); strings.Count(text, "_count{") != 5 {
		t.Errorf("not 5 series:\n%s", text)
	}
}
