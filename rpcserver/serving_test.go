package rpcserver_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// board is a hook that knows several services.
type board struct {
	mu   sync.Mutex
	regs map[string]register.Registration // by service
	news chan struct{}                    // capacity 1
}

func newBoard(t *testing.T) (*board, string) {
	b := &board{regs: map[string]register.Registration{}, news: make(chan struct{}, 1)}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return b, srv.URL
}

func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	service := strings.Split(r.URL.Path, "/")[3]
	switch r.Method {
	case http.MethodPut:
		var reg register.Registration
		json.NewDecoder(r.Body).Decode(&reg)
		b.regs[service] = reg
		pub := register.Published{Port: reg.Port, State: register.InstanceUp, RenewAfter: register.Duration(time.Minute)}
		if reg.Drain {
			pub.State, pub.DrainedBy = register.InstanceDrained, []string{register.DrainedByInstance}
		}
		json.NewEncoder(w).Encode(pub)
	case http.MethodDelete:
		delete(b.regs, service)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// String lists the services that are in DNS, and those that are drained.
func (b *board) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for _, service := range slices.Sorted(maps.Keys(b.regs)) {
		if b.regs[service].Drain {
			service = "no " + service
		}
		list = append(list, service)
	}
	return strings.Join(list, ", ")
}

// await waits until the registrations are these.
func (b *board) await(t *testing.T, want string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for b.String() != want {
		select {
		case <-b.news:
		case <-late:
			t.Fatalf("registered: %s; want %s", b, want)
		}
	}
}

// Parrot is a second receiver.
type Parrot struct{}

// Say replies with its argument.
func (Parrot) Say(text string, reply *string) error {
	*reply = text
	return nil
}

func setServing(t *testing.T, s *rpcserver.Server, receiver string, serving bool, why string) {
	t.Helper()
	if err := s.SetServing(receiver, serving, why); err != nil {
		t.Fatal(err)
	}
}

// TestServicesOfOneServer: each is in DNS while the receivers that it needs serve, and
// none is left after the shutdown.
func TestServicesOfOneServer(t *testing.T) {
	b, url := newBoard(t)
	hooks := []string{url}
	s, _ := serve(t, rpcserver.Config{
		Quiet: 20 * time.Millisecond,
		Announce: []register.Config{
			{Hooks: hooks, Service: "_all._tcp", NoHold: true},
			{Hooks: hooks, Service: "_echo._tcp", NoHold: true},
			{Hooks: hooks, Service: "_math._tcp", NoHold: true},
		},
		Needs: map[string][]string{"_math._tcp": {"Arith"}, "_echo._tcp": {"Parrot"}},
	}, newArith(), Parrot{})
	if err := s.Announced(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.await(t, "_all._tcp, _echo._tcp, _math._tcp")
	if n := len(s.Leases()); n != 3 {
		t.Errorf("%d leases", n)
	}
	setServing(t, s, "Arith", false, "no disk")
	b.await(t, "no _all._tcp, _echo._tcp, no _math._tcp")
	setServing(t, s, "", false, "starting")
	b.await(t, "no _all._tcp, no _echo._tcp, no _math._tcp")
	setServing(t, s, "Arith", true, "")
	setServing(t, s, "Parrot", false, "")
	setServing(t, s, "", true, "")
	b.await(t, "no _all._tcp, no _echo._tcp, _math._tcp")
	if got := fmt.Sprint(s.NotServing()); got != "map[Parrot:not serving]" {
		t.Errorf("NotServing is %s", got)
	}
	for i := range 100 { // the last word counts
		setServing(t, s, "Parrot", i%2 == 1, "")
	}
	b.await(t, "_all._tcp, _echo._tcp, _math._tcp")
	if err := s.SetServing("Arit", false, ""); err == nil || !strings.Contains(err.Error(), "Arit") {
		t.Errorf("a receiver that is not there: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.String() != "" {
		t.Errorf("after the shutdown: %s", b)
	}
}

func TestServerThatDoesNotServeYetIsRegisteredOutsideOfDNS(t *testing.T) {
	b, url := newBoard(t)
	s := rpcserver.New(rpcserver.Config{Quiet: 20 * time.Millisecond, Announce: []register.Config{{Hooks: []string{url}, Service: "_math._tcp", NoHold: true}}})
	if err := s.Register(newArith()); err != nil {
		t.Fatal(err)
	}
	setServing(t, s, "", false, "reading its tables")
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener(t)) }()
	b.await(t, "no _math._tcp")
	setServing(t, s, "", true, "")
	b.await(t, "_math._tcp")
	s.Close()
	<-served
}

// TestConfiguredDrainOutlivesSetServing, until the program ends it.
func TestConfiguredDrainOutlivesSetServing(t *testing.T) {
	b, url := newBoard(t)
	hooks := []string{url}
	s, _ := serve(t, rpcserver.Config{
		Quiet: 20 * time.Millisecond,
		Announce: []register.Config{
			{Hooks: hooks, Service: "_hidden._tcp", NoHold: true, Registration: register.Registration{Drain: true}},
			{Hooks: hooks, Service: "_math._tcp", NoHold: true},
		},
	}, newArith())
	if err := s.Announced(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		setServing(t, s, "", false, "")
		b.await(t, "no _hidden._tcp, no _math._tcp")
		setServing(t, s, "", true, "")
		b.await(t, "no _hidden._tcp, _math._tcp")
	}
	hidden := s.Leases()[0]
	if n := hidden.Status().Registrations; n != 1 {
		t.Errorf("SetServing has changed its registration: %d PUTs", n)
	}
	if err := hidden.Undrain(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.await(t, "_hidden._tcp, _math._tcp")
}

// TestAnnouncementsThatCannotBe end Serve, with an error that says what to change.
func TestAnnouncementsThatCannotBe(t *testing.T) {
	_, url := newBoard(t)
	math := register.Config{Hooks: []string{url}, Service: "_math._tcp", NoHold: true}
	for want, cfg := range map[string]rpcserver.Config{
		"_math._tcp twice":               {Announce: []register.Config{math, math}},
		`needs "Arit"`:                   {Announce: []register.Config{math}, Needs: map[string][]string{"_math._tcp": {"Arit"}}},
		`"_maths._tcp", which is no ser`: {Announce: []register.Config{math}, Needs: map[string][]string{"_maths._tcp": {"Arith"}}},
	} {
		s := rpcserver.New(cfg)
		if err := s.Register(newArith()); err != nil {
			t.Fatal(err)
		}
		wantError(t, s.Serve(listener(t)), want)
		wantError(t, s.Announced(t.Context()), want)
		s.Close()
	}
}

// longResponse has the fields that a stock client skips.
type longResponse struct {
	ServiceMethod string
	Seq           uint64
	Error         string
	NotExecuted   bool
	Wait          uint64
}

func (c *rawClient) recvLong(t *testing.T, reply any) longResponse {
	t.Helper()
	var resp longResponse
	if err := c.dec.Decode(&resp); err != nil {
		t.Fatal("reading a response:", err)
	}
	if resp.Error != "" {
		reply = nil
	}
	if err := c.dec.Decode(reply); err != nil {
		t.Fatal("reading a reply:", err)
	}
	return resp
}

func TestNewCallsToWhatDoesNotServeAreRefused(t *testing.T) {
	a := newArith()
	s, addr := serve(t, rpcserver.Config{}, a, Parrot{})
	c := raw(t, addr)
	const ping = "_rollcall.Ping"
	expect := func(method string, args any, refused, text string) {
		t.Helper()
		seq := c.send(t, method, args)
		resp := c.recvLong(t, nil)
		if resp.Seq != seq || resp.NotExecuted != (refused != "") || resp.Error != text {
			t.Errorf("%s: %+v, want refused %q, %q", method, resp, refused, text)
		}
		if (resp.Wait == 1000) != (text != "") {
			t.Errorf("%s: stay away for %d ms", method, resp.Wait)
		}
	}
	begun := c.send(t, "Arith.Wait", 5)
	<-a.begun
	setServing(t, s, "Arith", false, "no disk")
	expect("Arith.Multiply", Args{1, 1}, "yes", "rpcserver: Arith does not serve: no disk")
	expect("Parrot.Say", "x", "", "")
	expect(ping, struct{}{}, "", "")
	setServing(t, s, "", false, "")
	expect("Parrot.Say", "x", "yes", "rpcserver: this server does not serve: not serving")
	expect(ping, struct{}{}, "yes", "")
	wantError(t, dial(t, addr).Call("Parrot.Say", "x", new(string)), "does not serve") // a stock client
	setServing(t, s, "", true, "")
	expect(ping, struct{}{}, "", "")
	expect("Arith.Multiply", Args{1, 1}, "yes", "rpcserver: Arith does not serve: no disk")
	close(a.gate) // the call that had begun goes on
	var n int
	if resp := c.recvLong(t, &n); resp.Seq != begun || resp.NotExecuted || n != 5 {
		t.Errorf("%+v, %d", resp, n)
	}
	setServing(t, s, "Arith", true, "")
	expect("Arith.Multiply", Args{1, 1}, "", "")
	if n := s.Stats().NotExecuted; n != 4 {
		t.Errorf("%d calls counted as refused, want 4", n)
	}
}

// TestReceiverThatServesAgainDuringARequest: the request was refused, and its method is known.
func TestReceiverThatServesAgainDuringARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rpcserver.New(rpcserver.Config{})
		s.Register(newArith())
		client, at := net.Pipe()
		go s.ServeConn(at)
		c := rawOn(t, client)
		setServing(t, s, "Arith", false, "no disk")
		c.enc.Encode(rpc.Request{ServiceMethod: "Arith.Multiply", Seq: 1})
		c.buf.Flush()
		synctest.Wait()
		setServing(t, s, "Arith", true, "")
		c.enc.Encode(Args{2, 3})
		c.buf.Flush()
		if resp := c.recvLong(t, nil); !resp.NotExecuted || resp.Error != "rpcserver: Arith does not serve: no disk" {
			t.Errorf("%+v", resp)
		}
		s.Close()
		client.Close()
		synctest.Wait()
	})
}
