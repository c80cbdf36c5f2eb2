//go:build unix

package chaos

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// startTime bounds what a process does, on a busy machine.
const startTime = 60 * time.Second

// fleet is a dnsd and its servers.
type fleet struct {
	t         testing.TB
	dir       string
	dns, hook string // addresses
	store     string // dnsd's file; empty: in memory
	dnsd      *peertest.Process

	mu      sync.Mutex // guards servers, started
	servers map[string]*server
	started int
	wg      sync.WaitGroup // restarts under way
}

// server is one place in the fleet. Its process changes with each restart.
type server struct {
	id   string
	port string            // to publish; empty: its own
	proc *peertest.Process // nil: none that is ready
	addr string            // where proc listens
}

func newFleet(t testing.TB, n int) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), servers: map[string]*server{}}
	f.store = filepath.Join(f.dir, "svc.db")
	return f.begin(n)
}

// newForgetfulFleet has a dnsd that keeps registrations in memory.
func newForgetfulFleet(t testing.TB, n int) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), servers: map[string]*server{}}
	return f.begin(n)
}

func (f *fleet) begin(n int) *fleet {
	t := f.t
	t.Helper()
	addrs := freeaddr.Take(2)
	f.dns, f.hook = addrs[0].String(), addrs[1].String()
	if err := f.startDNSD(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		f.servers[fmt.Sprintf("s%d", i)] = &server{id: fmt.Sprintf("s%d", i)}
	}
	var wg sync.WaitGroup
	for _, s := range f.servers {
		wg.Go(func() {
			if err := f.startServer(s); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return f
}

// start starts a process with a task. It does not wait until the process is ready.
func (f *fleet) start(name string, env ...string) *peertest.Process {
	f.t.Helper()
	if *loud {
		env = append(env, "ROLLCALL_CHAOS_LOG=1")
	}
	return peertest.StartSelf(f.t, name, env...)
}

func (f *fleet) startDNSD() error {
	f.dnsd = f.start("dnsd", envTask+"=dnsd", envDNS+"="+f.dns, envHook+"="+f.hook, envStore+"="+f.store)
	_, err := f.dnsd.Line()
	return err
}

// startServer gives s a new process, on a new port, and waits until it is
// published.
func (f *fleet) startServer(s *server) error {
	f.mu.Lock()
	f.started++
	ledger := filepath.Join(f.dir, fmt.Sprintf("%s.%d.ledger", s.id, f.started))
	f.mu.Unlock()
	p := f.start(s.id, envTask+"=server", envHook+"="+f.hook, envID+"="+s.id, envPort+"="+s.port, envLedger+"="+ledger)
	port, err := p.Line()
	if err != nil {
		return err
	}
	f.mu.Lock()
	s.proc, s.addr = p, "127.0.0.1:"+port
	f.mu.Unlock()
	return nil
}

// take removes a random server, if at least spare others are ready.
func (f *fleet) take(spare int) (*server, *peertest.Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var up []*server
	for _, s := range f.servers {
		if s.proc != nil {
			up = append(up, s)
		}
	}
	if len(up) <= spare {
		return nil, nil
	}
	s := up[rand.IntN(len(up))]
	p := s.proc
	s.proc = nil
	return s, p
}

// killOne is kill -9 of a random server, which is started again on another port.
// false: too few were ready.
func (f *fleet) killOne() bool {
	s, p := f.take(1)
	if s == nil {
		return false
	}
	p.Kill()
	f.wg.Go(func() {
		if err := f.startServer(s); err != nil {
			f.t.Error(err)
		}
	})
	return true
}

// restartOne stops a server in order, and waits until its new process is ready.
func (f *fleet) restartOne(s *server) error {
	s.proc.Signal(syscall.SIGTERM)
	if err := s.proc.Wait(); err != nil {
		return fmt.Errorf("%s after SIGTERM: %w", s.id, err)
	}
	return f.startServer(s)
}

// client returns a client of the fleet, by name.
func (f *fleet) client(cfg rpcclient.Config) *rpcclient.Client {
	f.t.Helper()
	cfg.Source = &resolver.Resolver{Servers: []string{f.dns}}
	c, err := rpcclient.New(service+".svc", &cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	ctx, cancel := timeout(startTime)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// executed reads the ledgers: how often each call was executed.
func (f *fleet) executed() map[uint64]int {
	f.t.Helper()
	return f.executedBy("*")
}

// executedBy reads the ledgers of one server.
func (f *fleet) executedBy(id string) map[uint64]int {
	f.t.Helper()
	files, err := filepath.Glob(filepath.Join(f.dir, id+".*.ledger"))
	if err != nil {
		f.t.Fatal(err)
	}
	out := map[uint64]int{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.t.Fatal(err)
		}
		for ; len(data) >= 8; data = data[8:] {
			out[binary.BigEndian.Uint64(data)]++
		}
	}
	return out
}

// startedServers is the number of server processes so far.
func (f *fleet) startedServers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}

// await waits until ok is true. It looks often, because what happens in another
// process has no event here.
func (f *fleet) await(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(startTime)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func portOf(addr net.Addr) string { return strconv.Itoa(addr.(*net.TCPAddr).Port) }
