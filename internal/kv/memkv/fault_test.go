package memkv

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func TestLinks(t *testing.T) {
	for _, tc := range []struct {
		link      Link
		read, txn error
		done      bool
		at        time.Duration // when the call returns
	}{
		{Up, nil, nil, true, 0},
		{Cut, kv.ErrUnavailable, kv.ErrUnavailable, false, 0},
		{Hang, context.DeadlineExceeded, kv.ErrUncertain, false, time.Second},
		{HangReplies, context.DeadlineExceeded, kv.ErrUncertain, true, time.Second},
		{Deny, kv.ErrDenied, kv.ErrDenied, false, 0},
	} {
		t.Run(tc.link.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := New(Config{})
				a, b := c.Open("a"), c.Open("b")
				a.SetLink(tc.link)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				_, err := a.Txn(ctx, put("k", "v"))
				wantErr(t, "transaction", err, tc.txn)
				if d := time.Since(begun); d != tc.at {
					t.Errorf("the transaction returned after %v, want %v", d, tc.at)
				}
				if done := value(t, b, "k") == "v"; done != tc.done {
					t.Errorf("done is %v", done)
				}
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _, err = a.Get(ctx, "k")
				wantErr(t, "get", err, tc.read)
			})
		})
	}
}
