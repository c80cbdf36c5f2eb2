package testenv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// A server is one dnsd of the environment, whether it runs or not.
type server struct {
	index int
	zone  dnsd.Zone // with its own addresses

	running *dnsd.Server // nil: it does not run
	stop    func() error
	buried  chan struct{} // closed when the one that was killed has closed its sockets; nil: none was
	paused  bool

	// Of one dnsd among several; else nil.
	stores                       dnsd.Stores
	hookLink, dnsLink, storeLink *link
	peerLinks                    []*link // by index; none to itself
}

// links are all of the dnsd's.
func (d *server) links() []*link {
	all := slices.Concat([]*link{d.hookLink, d.dnsLink, d.storeLink}, d.peerLinks)
	return slices.DeleteFunc(all, func(l *link) bool { return l == nil })
}

// dnsd returns dnsd i.
func (e *Env) dnsd(i int) *server {
	e.t.Helper()
	if i < 0 || i >= len(e.dnsds) {
		e.t.Fatalf("testenv: there is no dnsd %d; there are %d, counted from 0", i, len(e.dnsds))
	}
	return e.dnsds[i]
}

// StartDNSD starts dnsd i on the addresses that it had before. The only dnsd is 0.
func (e *Env) StartDNSD(i int) {
	e.t.Helper()
	d := e.dnsd(i)
	if d.running != nil {
		e.t.Fatalf("testenv: dnsd %d runs already", i)
	}
	if d.buried != nil {
		<-d.buried
		d.buried = nil
		for _, l := range d.links() {
			l.kill(-1)
		}
	}
	cfg := dnsd.Config{Zones: []dnsd.Zone{d.zone}, Logger: e.setup.Logger}
	if len(e.dnsds) > 1 {
		cfg.Stores, cfg.Dial, cfg.Logger = d.stores, e.dialPeer(d), cfg.Logger.With("dnsd", i)
	}
	s, err := dnsd.New(cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	if dns, hook := s.DNSAddr().String(), s.HookURL()[len("http://"):]; d.zone.Bind[0] != dns || d.zone.Hook.Addr != hook {
		// Only at the first start: later, Dial may read them.
		d.zone.Bind, d.zone.Hook.Addr = []string{dns}, hook
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	d.running = s
	d.stop = func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Second): // its own grace periods are shorter
			return context.DeadlineExceeded
		}
	}
}

// StopDNSD stops dnsd i as SIGTERM would. Unless Setup.Durable is set, the registrations
// of the only dnsd are lost.
func (e *Env) StopDNSD(i int) {
	e.t.Helper()
	d := e.runningDNSD(i)
	d.running = nil
	if err := d.stop(); err != nil {
		e.t.Fatal(err)
	}
}

// KillDNSD ends one of several dnsd as SIGKILL would: it says nothing more to the store,
// to the other dnsd, to nodes and to clients. StartDNSD starts it again.
//
// Its links are cut, and it closes its ports within about a second. Connections that were
// not made by the environment, or by Dial, work until then. With Setup.Stores, it can say
// goodbye to the store.
func (e *Env) KillDNSD(i int) {
	e.t.Helper()
	e.several()
	d := e.runningDNSD(i)
	d.running = nil
	e.awake(d)
	for _, l := range d.links() {
		l.kill(+1)
	}
	buried := make(chan struct{})
	d.buried = buried
	e.burials.Go(func() {
		_ = d.stop() // it cannot say goodbye, and says so
		close(buried)
	})
}

// PauseDNSD stops one of several dnsd as SIGSTOP would, until ResumeDNSD: its connections
// stay open and new ones are accepted, but nothing is answered.
//
// The process goes on, so what is modelled is what the others see: all links are stuck.
// The clocks and timers of the dnsd go on as well. What it does by itself meanwhile, such
// as finding out that its session is over, a process that is stopped does later.
func (e *Env) PauseDNSD(i int) {
	e.t.Helper()
	e.several()
	d := e.runningDNSD(i)
	if d.paused {
		e.t.Fatalf("testenv: dnsd %d is paused already", i)
	}
	d.paused = true
	for _, l := range d.links() {
		l.pause(+1)
	}
}

// ResumeDNSD ends the pause of dnsd i.
func (e *Env) ResumeDNSD(i int) {
	e.t.Helper()
	d := e.runningDNSD(i)
	if !d.paused {
		e.t.Fatalf("testenv: dnsd %d is not paused", i)
	}
	e.awake(d)
}

func (e *Env) awake(d *server) {
	if d.paused {
		d.paused = false
		for _, l := range d.links() {
			l.pause(-1)
		}
	}
}

func (e *Env) several() {
	e.t.Helper()
	if len(e.dnsds) < 2 {
		e.t.Fatal("testenv: that is for Setup.DNSDs of 2 or more")
	}
}

func (e *Env) runningDNSD(i int) *server {
	e.t.Helper()
	d := e.dnsd(i)
	if d.running == nil {
		e.t.Fatalf("testenv: dnsd %d does not run", i)
	}
	return d
}

// DNSD returns the running dnsd i, for its Reload.
func (e *Env) DNSD(i int) *dnsd.Server {
	e.t.Helper()
	return e.runningDNSD(i).running
}

// Writer waits until one of several dnsd, but none of those given, is the writer, and
// returns which. A dnsd that is cut off believes to be the writer until its session ends:
// a test that asks for the next one gives the last one.
func (e *Env) Writer(not ...int) int {
	e.t.Helper()
	e.several()
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	for {
		if i := e.writerNow(ctx, not...); i >= 0 {
			return i
		}
		select {
		case <-time.After(10 * time.Millisecond): // there is no event for it
		case <-ctx.Done():
			e.t.Fatalf("testenv: waited %v for a writer that is none of dnsd %v", patience, not)
		}
	}
}

// writerNow is which of several dnsd, but none of those given, is the writer; -1: none is.
func (e *Env) writerNow(ctx context.Context, not ...int) int {
	for i, d := range e.dnsds {
		if slices.Contains(not, i) || d.running == nil || d.paused {
			continue
		}
		if text, err := d.get(ctx, "/metrics"); err == nil && bytes.Contains(text, []byte("\nrollcall_cluster_writer 1\n")) {
			return i
		}
	}
	return -1
}

// get asks a dnsd's hook, beside its links.
func (d *server) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.zone.Hook.Addr+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("testenv: GET %s: %s: %s", req.URL, resp.Status, text)
	}
	return text, err
}

// ready says why a dnsd should get no traffic.
func (d *server) ready(ctx context.Context) error {
	_, err := d.get(ctx, "/readyz")
	return err
}

// awaitReady waits until all dnsd can get traffic: each has read the store.
func (e *Env) awaitReady() {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	for _, d := range e.dnsds {
		for {
			err := d.ready(ctx)
			if err == nil {
				break
			}
			select {
			case <-time.After(5 * time.Millisecond): // there is no event for it
			case <-ctx.Done():
				e.t.Fatalf("testenv: waited %v for dnsd %d: %v", patience, d.index, err)
			}
		}
	}
}

// dialPeer connects dnsd d to another one.
func (e *Env) dialPeer(d *server) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		for _, other := range e.dnsds {
			if s := other.zone.Store.Shared; other != d && s.Listen == addr {
				return d.peerLinks[other.index].dial(ctx, network, addr)
			}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// Tests: dnsd_test.go.
