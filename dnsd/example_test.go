package dnsd_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/register"
)

// A server inside the program, an instance that registers with it, and Go's own
// resolver that finds it.
func Example() {
	s, err := dnsd.New(dnsd.Config{Zones: []dnsd.Zone{{
		Bind: []string{"127.0.0.1:0"}, // any free port
		Hook: dnsd.Hook{Addr: "127.0.0.1:0"},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()

	lease, err := register.Keep(ctx, register.Config{
		Hooks: []string{s.HookURL()}, Service: "_math._tcp", ID: "a1",
		Registration: register.Registration{Port: 8080},
	})
	if err != nil {
		log.Fatal(err)
	}

	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.DNSAddr().String())
	}}
	_, records, err := r.LookupSRV(ctx, "math", "tcp", "svc.")
	for _, srv := range records {
		fmt.Println(srv.Priority, srv.Weight, srv.Port, srv.Target, err)
	}

	lease.Close(ctx)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// 10 100 8080 a1.math.tcp.svc. <nil>
	// <nil>
}
