package testenv

import (
	"context"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// A server is dnsd while it runs.
type server struct {
	*dnsd.Server
	cancel context.CancelFunc
	ended  chan error
}

// StartDNSD starts dnsd on the addresses that it had before.
func (e *Env) StartDNSD() {
	e.t.Helper()
	if e.dnsd != nil {
		e.t.Fatal("testenv: dnsd runs already")
	}
	s, err := dnsd.New(dnsd.Config{Zones: []dnsd.Zone{e.setup.Zone}, Logger: e.setup.Logger})
	if err != nil {
		e.t.Fatal(err)
	}
	e.setup.Zone.Bind = []string{s.DNSAddr().String()}
	e.setup.Zone.Hook.Addr = s.HookURL()[len("http://"):]
	ctx, cancel := context.WithCancel(context.Background())
	e.dnsd = &server{Server: s, cancel: cancel, ended: make(chan error, 1)}
	go func(d *server) { d.ended <- d.Run(ctx) }(e.dnsd)
}

// StopDNSD stops dnsd. Unless Setup.Durable is set, its registrations are lost.
func (e *Env) StopDNSD() {
	e.t.Helper()
	if e.dnsd == nil {
		e.t.Fatal("testenv: dnsd does not run")
	}
	if err := e.dnsd.stop(); err != nil {
		e.t.Fatal(err)
	}
	e.dnsd = nil
}

// DNSD returns the running server, for its Reload.
func (e *Env) DNSD() *dnsd.Server { return e.dnsd.Server }

func (s *server) stop() error {
	s.cancel()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(20 * time.Second): // its own grace periods are shorter
		return context.DeadlineExceeded
	}
}

// Tests: dnsd_test.go.
