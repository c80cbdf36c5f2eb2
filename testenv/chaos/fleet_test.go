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
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// fleet is a dnsd and its servers.
type fleet struct {
	t         testing.TB
	dir       string
	dns, hook string // addresses
	dnsd      *process

	mu      sync.Mutex // guards servers, started
	servers map[string]*server
	started int
	wg      sync.WaitGroup // restarts under way
}

// server is one place in the fleet, whatever process has it at the moment.
type server struct {
	id   string
	port string   // to publish; empty: its own
	proc *process // nil: none that is ready
	addr string   // where proc listens
}

func newFleet(t testing.TB, n int) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), servers: map[string]*server{}}
	f.dns, f.hook = freeAddr(t), freeAddr(t)
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

// freeAddr is an address that a process can take again after it was killed: of
// ports that the system does not give to clients.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		return addr
	}
	t.Fatal("no free port between 20000 and 30000")
	return ""
}

func (f *fleet) startDNSD() error {
	f.dnsd = start(f.t, "dnsd", envTask+"=dnsd", envDNS+"="+f.dns, envHook+"="+f.hook, envStore+"="+filepath.Join(f.dir, "svc.db"))
	_, err := f.dnsd.await()
	return err
}

// startServer gives s a new process, on a new port, and waits until it is
// published.
func (f *fleet) startServer(s *server) error {
	f.mu.Lock()
	f.started++
	ledger := filepath.Join(f.dir, fmt.Sprintf("%s.%d.ledger", s.id, f.started))
	f.mu.Unlock()
	p := start(f.t, s.id, envTask+"=server", envHook+"="+f.hook, envID+"="+s.id, envPort+"="+s.port, envLedger+"="+ledger)
	port, err := p.await()
	if err != nil {
		return err
	}
	f.mu.Lock()
	s.proc, s.addr = p, "127.0.0.1:"+port
	f.mu.Unlock()
	return nil
}

// take takes a random server out, if at least spare others are ready.
func (f *fleet) take(spare int) (*server, *process) {
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
	p.kill()
	f.wg.Go(func() {
		if err := f.startServer(s); err != nil {
			f.t.Error(err)
		}
	})
	return true
}

// restartOne ends a server in order and waits until its successor is there.
func (f *fleet) restartOne(s *server) error {
	if err := s.proc.terminate(); err != nil {
		return fmt.Errorf("%s: %w", s.id, err)
	}
	return f.startServer(s)
}

// client calls the fleet by name.
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

// await waits until ok, looking often: what happens in another process has no
// event here.
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
