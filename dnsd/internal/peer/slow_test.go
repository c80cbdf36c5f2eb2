package peer

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// pipeServer runs a Server on pipes, with a fake clock. dial is a connection of a member.
func pipeServer(t *testing.T, r Registry) (dial func() net.Conn, to Target, c *Client) {
	t.Helper()
	p, me, member := newPipes(), identity(t), identity(t)
	s := serve(p, ServerConfig{Name: "a", Identity: me, Registry: r, Known: func(f Fingerprint) bool { return f == member.Fingerprint() }})
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	dial = func() net.Conn {
		return tlsClient(p.dial("10.0.0.1:1"), member)
	}
	transport := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil }}
	c = &Client{me: member.Fingerprint(), transport: transport, close: transport.CloseIdleConnections}
	t.Cleanup(c.Close)
	return dial, Target{Name: "a", Fingerprint: me.Fingerprint()}, c
}

// A member that is too slow is cut off.
func TestSlowRequests(t *testing.T) {
	for name, c := range map[string]struct {
		first string
		limit time.Duration
	}{
		"header": {"POST /v1/operations HTTP/1.1\r\nX: ", headerTime},
		"body":   {"POST /v1/operations HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", bodyTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, _, _ := pipeServer(t, open(t, registry.Config{}))
				conn, began := dial(), time.Now()
				var writing sync.WaitGroup
				writing.Go(func() {
					_, err := io.WriteString(conn, c.first)
					for err == nil { // an octet a second
						time.Sleep(time.Second)
						_, err = io.WriteString(conn, "x")
					}
				})
				answer, _ := io.ReadAll(conn)
				if took := time.Since(began); took > c.limit+time.Second || strings.Contains(string(answer), " 200 ") {
					t.Errorf("after %v: %q; want an end after %v", took, answer, c.limit)
				}
				conn.Close()
				writing.Wait()
			})
		})
	}
}

// The time that a request may take to arrive does not bound what it does.
func TestLongProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer := open(t, registry.Config{})
		_, to, c := pipeServer(t, longProbes{writer})
		own, _ := follower(t, writer)
		w := NewWrites(WritesConfig{Registry: own, Members: newMembers(to), Client: c})
		defer w.Close()
		began := time.Now()
		if done, err := w.ConnectionLost(t.Context(), key("a1"), 7); err != nil || done.Did != registry.Removed || time.Since(began) != 9*time.Second {
			t.Errorf("after %v: %+v, %v", time.Since(began), done, err)
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if done, err := w.ConnectionLost(ctx, key("a1"), 7); err != nil || time.Since(began) != 9*time.Second { // it was sent
			t.Errorf("after %v: %+v, %v", time.Since(began), done, err)
		}
	})
}

// longProbes is a registry whose probes take nine seconds.
type longProbes struct{ Registry }

func (longProbes) ConnectionLost(ctx context.Context, _ registry.Key, _ uint64) (registry.Receipt, error) {
	select {
	case <-time.After(9 * time.Second):
		return registry.Receipt{Did: registry.Removed}, nil
	case <-ctx.Done():
		return registry.Receipt{}, ctx.Err()
	}
}
