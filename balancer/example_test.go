package balancer_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// The balancer alone, in front of HTTP servers: one of the two is broken.
func Example() {
	serve := func(status int) (addr string, stop func()) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
		}))
		return s.Listener.Addr().String(), s.Close
	}
	good, stop := serve(http.StatusOK)
	defer stop()
	bad, stop := serve(http.StatusInternalServerError)
	defer stop()

	g := balancer.NewGroup(balancer.Config{Policy: balancer.RoundRobin})
	defer g.Close()
	g.Update([]resolver.Endpoint{{Addr: good, Weight: 100}, {Addr: bad, Weight: 100}})

	get := func() error {
		p, err := g.Pick(balancer.Want{})
		if err != nil {
			return err
		}
		resp, err := http.Get("http://" + p.Node().Endpoint().Addr)
		if err != nil {
			p.DoneErr(balancer.Failed, err)
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		if err == nil && resp.StatusCode >= 500 {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		if err != nil {
			p.DoneErr(balancer.Failed, err)
			return err
		}
		p.Done(balancer.OK)
		return nil
	}
	failed := 0
	for range 20 {
		if get() != nil {
			failed++
		}
	}
	fmt.Println("failed:", failed, "of 20")
	for _, n := range g.Nodes() {
		if n.Endpoint.Addr == bad {
			fmt.Println("the bad one is", n.Standing, "for", n.Reason)
		}
	}
	// Output:
	// failed: 3 of 20
	// the bad one is ejected for status 500
}

// A client of a resolver keeps the group up to date from its watch.
func ExampleGroup_Update() {
	source := resolver.Static("192.0.2.1:80", "192.0.2.2:80")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	g := balancer.NewGroup(balancer.Config{})
	defer g.Close()
	for state := range source.Watch(ctx, "_http._tcp.example.com.") {
		g.Update(state.Endpoints)
		fmt.Println(len(g.Nodes()), "nodes")
		cancel() // or go on for as long as the program lives, in a goroutine
	}
	// Output: 2 nodes
}
