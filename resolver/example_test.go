package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/resolver"
)

// serve runs a name server for two instances of _math._tcp.svc and a backup.
// With Rollcall that is dnsd.
func serve() (addr string, stop func()) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	zone := []string{
		"_math._tcp.svc. 5 IN SRV 10 100 8080 a1.math.tcp.svc.",
		"_math._tcp.svc. 5 IN SRV 10 300 8080 a2.math.tcp.svc.",
		"_math._tcp.svc. 5 IN SRV 20 100 8080 b1.math.tcp.svc.",
	}
	glue := []string{"a1.math.tcp.svc. 5 IN A 10.0.0.1", "a2.math.tcp.svc. 5 IN A 10.0.0.2", "b1.math.tcp.svc. 5 IN A 10.9.0.1"}
	parse := func(lines []string) (rrs []dns.RR) {
		for _, line := range lines {
			rr, err := dns.NewRR(line)
			if err != nil {
				log.Fatal(err)
			}
			rrs = append(rrs, rr)
		}
		return rrs
	}
	started := make(chan struct{})
	server := &dns.Server{
		PacketConn:        conn,
		NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			if q.Question[0].Name == "_math._tcp.svc." {
				m.Answer, m.Extra = parse(zone), parse(glue)
			} else {
				m.Rcode = dns.RcodeNameError
			}
			_ = w.WriteMsg(m)
		}),
	}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	<-started
	return conn.LocalAddr().String(), func() {
		_ = server.Shutdown()
		<-done
	}
}

func Example() {
	addr, stop := serve()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	r := resolver.Resolver{Servers: []string{addr}} // none: those of the system
	for state := range r.Watch(ctx, "_math._tcp.svc") {
		for _, ep := range state.Endpoints {
			fmt.Println(ep.Priority, ep.Weight, ep.Addr, ep.Target)
		}
		cancel() // a program would go on
	}
	// Output:
	// 10 100 10.0.0.1:8080 a1.math.tcp.svc.
	// 10 300 10.0.0.2:8080 a2.math.tcp.svc.
	// 20 100 10.9.0.1:8080 b1.math.tcp.svc.
}

func ExampleResolver_Lookup() {
	addr, stop := serve()
	defer stop()

	r := resolver.Resolver{Servers: []string{addr}}
	_, err := r.Lookup(context.Background(), "_maths._tcp.svc")
	fmt.Println(errors.Is(err, resolver.ErrNoSuchName))
	var e *resolver.Error
	if errors.As(err, &e) {
		fmt.Println(e.Name, e.Rcode)
	}
	// Output:
	// true
	// _maths._tcp.svc. NXDOMAIN
}

func ExampleOrder() {
	addr, stop := serve()
	defer stop()

	r := resolver.Resolver{Servers: []string{addr}}
	state, err := r.Lookup(context.Background(), "_math._tcp.svc")
	if err != nil {
		log.Fatal(err)
	}
	first := map[string]int{}
	for range 10_000 {
		first[resolver.Order(state.Endpoints, nil)[0].Addr]++
	}
	fmt.Println("the backup was first:", first["10.9.0.1:8080"])
	fmt.Println("about 3 to 1:", first["10.0.0.2:8080"] > 7_000 && first["10.0.0.2:8080"] < 8_000)
	// Output:
	// the backup was first: 0
	// about 3 to 1: true
}
