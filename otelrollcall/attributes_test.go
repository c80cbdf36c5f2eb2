package otelrollcall

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rollcall-dns/rollcall/rpcclient"
)

func TestClientErrorType(t *testing.T) {
	failed := func(why error, phases ...rpcclient.Phase) error {
		e := &rpcclient.Error{Err: why}
		for _, p := range phases {
			e.Attempts = append(e.Attempts, rpcclient.Attempt{Phase: p, Err: &rpcclient.RefusedError{}})
		}
		return fmt.Errorf("another interceptor: %w", e)
	}
	lost := errors.New("connection lost")
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"refused":                   {failed(&rpcclient.RefusedError{}, rpcclient.PhaseAnswer), "refused"},
		"refused, over the budget":  {failed(fmt.Errorf("%w: %w", rpcclient.ErrOverBudget, &rpcclient.RefusedError{})), "refused"},
		"no node":                   {failed(rpcclient.ErrNoNodes), "no_node"},
		"waited for a node":         {failed(fmt.Errorf("%w: %w", context.DeadlineExceeded, rpcclient.ErrNoNodes)), "no_node"},
		"closed":                    {failed(rpcclient.ErrClosed), "closed"},
		"an error of the method":    {failed(rpc.ServerError("x"), rpcclient.PhaseAnswer), "server_error"},
		"late":                      {failed(context.DeadlineExceeded, rpcclient.PhaseWait), "timeout"},
		"given up":                  {failed(context.Canceled, rpcclient.PhaseWait), "canceled"},
		"the argument":              {failed(lost, rpcclient.PhaseEncode), "encode"},
		"the reply":                 {failed(lost, rpcclient.PhaseDecode), "decode"},
		"not written":               {failed(lost, rpcclient.PhaseWrite), "connection"},
		"no answer":                 {failed(lost, rpcclient.PhaseWrite, rpcclient.PhaseWait), "connection"},
		"nothing that is known":     {failed(lost), "*errors.errorString"},
		"of another interceptor":    {lost, "*errors.errorString"},
		"a time-out of another one": {fmt.Errorf("x: %w", context.DeadlineExceeded), "timeout"},
	} {
		if got := clientErrorType(tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestPeer(t *testing.T) {
	for addr, want := range map[string]string{
		"":                "map[]",
		"10.0.0.7:8080":   "map[network.peer.address:10.0.0.7 network.peer.port:8080]",
		"[2001:db8::1]:1": "map[network.peer.address:2001:db8::1 network.peer.port:1]",
		"/run/math.sock":  "map[network.peer.address:/run/math.sock]",
		"host:http":       "map[network.peer.address:host]",
	} {
		if got := fmt.Sprint(attributes(peer(addr))); got != want {
			t.Errorf("%q: %s, want %s", addr, got, want)
		}
	}
	if got := peerOf(nil); got != nil {
		t.Errorf("no address: %v", got)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"divide by zero":          "divide by zero",
		"a\xff\xfeb":              "a?b",
		strings.Repeat("a", 1024): strings.Repeat("a", 1024),
		strings.Repeat("a", 1025): strings.Repeat("a", 1021) + "...",
		strings.Repeat("ä", 600):  strings.Repeat("ä", 510) + "?...",
	} {
		if got := printable(text); got != want || !utf8.ValidString(got) || len(got) > maxText {
			t.Errorf("%.20q: %q", text, got)
		}
	}
}
