package promrollcall_test

import (
	"context"
	"fmt"
	"net"
	"net/rpc"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/promrollcall"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

func TestServerThatDoesNotServeSaysSo(t *testing.T) {
	s := rpcserver.New(rpcserver.Config{})
	if err := rpcserver.Handle(s, "Math.Double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }); err != nil {
		t.Fatal(err)
	}
	collector := promrollcall.Server("api", s)
	for _, step := range []struct {
		receiver string
		serves   bool
		server   int
		shut     int
	}{
		{"Math", false, 1, 1},
		{"", false, 0, 1},
		{"Math", true, 0, 0},
		{"", true, 1, 0},
	} {
		if err := s.SetServing(step.receiver, step.serves, ""); err != nil {
			t.Fatal(err)
		}
		_, text := scrape(t, collector)
		want(t, text,
			fmt.Sprintf(`rollcall_server_serving{server="api"} %d`, step.server),
			fmt.Sprintf(`rollcall_server_receivers_not_serving{server="api"} %d`, step.shut))
	}
	s.Close()
}

func TestServerOfManyMethodsHasFewSeries(t *testing.T) {
	const methods = 130
	s := rpcserver.New(rpcserver.Config{})
	for i := range methods {
		if err := rpcserver.Handle(s, fmt.Sprintf("Math.M%03d", i), func(_ context.Context, n int) (int, error) { return n, nil }); err != nil {
			t.Fatal(err)
		}
	}
	client, conn := net.Pipe()
	served := make(chan struct{})
	go func() { defer close(served); s.ServeConn(conn) }()
	c := rpc.NewClient(client)
	for i := range methods {
		if err := c.Call(fmt.Sprintf("Math.M%03d", i), 1, new(int)); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	<-served
	collector := promrollcall.Server("api", s)
	for range 2 {
		_, text := scrape(t, collector)
		if n := strings.Count(text, "\nrollcall_server_method_calls_total{"); n != 101 {
			t.Errorf("%d series", n)
		}
		want(t, text,
			`rollcall_server_method_calls_total{method="Math.M000",server="api"} 1`,
			`rollcall_server_method_calls_total{method="",server="api"} 30`,
			`rollcall_server_connections{server="api"} 0`,
			`rollcall_server_requests_total{server="api"} 130`)
	}
	s.Close()
}
