package promrollcall_test

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/promrollcall"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

func Example() {
	r := &resolver.Resolver{Servers: []string{"127.0.0.1:1"}}
	client, err := rpcclient.New("_math._tcp.svc", &rpcclient.Config{Source: r})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(
		promrollcall.Client("math", client),
		promrollcall.Resolver("dns", r, "_math._tcp.svc"),
	)

	families, err := registry.Gather()
	fmt.Println(families[0].GetName(), err)
	// Output: rollcall_client_attempts_total <nil>
}
