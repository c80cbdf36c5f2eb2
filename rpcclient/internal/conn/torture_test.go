package conn

import (
	"context"
	"crypto/tls"
	"flag"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/rpc"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

var tortureRounds = flag.Int("torture", 150, "rounds of each torture test: thousands find what is rare")

// witness is a service that knows what it executed.
type witness struct {
	mu    sync.Mutex // guards what follows
	rnd   *rand.Rand
	times map[int]int
}

func (w *witness) Double(id int, reply *int) error {
	w.mu.Lock()
	w.times[id]++
	pause := w.rnd.IntN(4) == 0
	d := time.Duration(w.rnd.IntN(3000)) * time.Microsecond
	w.mu.Unlock()
	if pause {
		time.Sleep(d)
	}
	*reply = 2 * id
	return nil
}

func (w *witness) executed(id int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.times[id]
}

// recorder is an owner that counts what it is told.
type recorder struct {
	retired atomic.Int32
	dead    chan struct{}
}

func (r *recorder) Retired(*Conn, error) { r.retired.Add(1) }
func (r *recorder) Dead(*Conn, error)    { r.dead <- struct{}{} }
func (r *recorder) Serving(*Conn, bool)  {}

// quietly keeps net/rpc from logging each connection that ends.
func quietly(t *testing.T) {
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(log.Default().Writer()) })
}

// torment sends requests of 32 callers over one connection that fails, and checks that each
// of them ends in time, once, and with the truth.
func torment(t *testing.T, seed uint64, client, server net.Conn, slack time.Duration) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := &witness{rnd: rand.New(rand.NewPCG(seed, 2)), times: make(map[int]int)}
	s := rpc.NewServer()
	s.RegisterName("Witness", w)
	var serving sync.WaitGroup
	serving.Go(func() { s.ServeConn(server) })

	cfg := testConfig()
	cfg.WriteTimeout = 20 * time.Millisecond
	cfg.PingInterval = time.Duration(rnd.IntN(2)) * 5 * time.Millisecond
	cfg.PingTimeout = 10 * time.Millisecond
	cfg.MaxQueue = 1 + rnd.IntN(2000)
	owner := &recorder{dead: make(chan struct{}, 10)}
	c := NewSet(cfg).Start(client, owner)
	if rnd.IntN(2) == 0 {
		c.knows.Store(uint32(rpcwire.KnowsCancel)) // it answers cancels as other requests, and these answers are late ones
	}

	type ended struct {
		id   int
		req  *Request
		exec Executed
		err  error
	}
	var mu sync.Mutex
	var all []ended
	var ids atomic.Int32
	var callers sync.WaitGroup
	for i := range 32 {
		rnd := rand.New(rand.NewPCG(seed, uint64(i+10)))
		callers.Go(func() {
			for range 20 {
				id := int(ids.Add(1))
				var reply int
				req := &Request{Method: "Witness.Double", Args: id, Reply: &reply, Done: make(chan struct{}, 1), Start: c.Now()}
				most := time.Duration(1+rnd.IntN(5000)) * time.Microsecond
				if rnd.IntN(4) == 0 {
					most = 50 * time.Millisecond
				}
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if rnd.IntN(2) == 0 {
					ctx, cancel = context.WithTimeout(ctx, most)
				} else {
					req.Deadline = req.Start + most
				}
				err := c.Send(ctx, req)
				e := ended{id: id, req: req, exec: Never, err: err}
				if err == nil {
					select {
					case <-req.Done:
						e.exec, e.err = req.Executed, req.Err
					case <-ctx.Done():
						e.exec, e.err = Maybe, ctx.Err()
						if !c.Abandon(req) {
							<-req.Done
							e.exec, e.err = req.Executed, req.Err
						}
					}
					if e.err == nil && reply != 2*id {
						t.Errorf("seed %d: no error, and the answer to %d is %d", seed, id, reply)
					}
				}
				cancel()
				if took := c.Now() - req.Start; took > most+slack {
					t.Errorf("seed %d: a call of at most %v took %v: %v", seed, most, took, e.err)
				}
				mu.Lock()
				all = append(all, e)
				mu.Unlock()
				if !c.Usable() {
					return
				}
				if rnd.IntN(3) == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	callers.Wait()
	if rnd.IntN(2) == 0 {
		c.Retire(errTest)
	} else {
		c.Fail(errTest)
	}
	c.Fail(errTest)
	c.Wait()
	serving.Wait()

	// The last write of a caller may still be on its way to settle the connection.
	select {
	case <-owner.dead:
	case <-time.After(20 * time.Second):
		t.Fatalf("seed %d: the connection never settles", seed)
	}
	if r, d := owner.retired.Load(), len(owner.dead); r != 1 || d != 0 {
		t.Errorf("seed %d: told %d times that it is retired, %d times that it is dead", seed, r, d+1)
	}
	for range 20_000 { // a ping may just find out that it comes too late
		if c.load.Load() == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n := c.load.Load(); n != 0 {
		t.Errorf("seed %d: load is %d at the end", seed, n)
	}
	c.mu.Lock()
	if len(c.pending)+len(c.deadlines) > 0 || c.life != settled {
		t.Errorf("seed %d: %d calls pending, %d deadlines, life %d", seed, len(c.pending), len(c.deadlines), c.life)
	}
	c.mu.Unlock()
	for _, e := range all {
		if len(e.req.Done) > 0 {
			t.Errorf("seed %d: call %d ended twice", seed, e.id)
		}
		times := w.executed(e.id)
		if times > 1 || times > 0 && e.exec == Never || times == 0 && (e.exec == Yes || e.err == nil) {
			t.Errorf("seed %d: call %d was executed %d times and says %v: %v", seed, e.id, times, e.exec, e.err)
		}
	}
}

// TestTortureInFakeTime finds a request that hangs at once, because then nothing runs, and
// one that is late by a nanosecond.
func TestTortureInFakeTime(t *testing.T) {
	quietly(t)
	for range 5 * *tortureRounds {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			client, server := peertest.MemoryPipe()
			torment(t, seed, newStorm(client, rand.New(rand.NewPCG(seed, 3))), server, 0)
		})
		if t.Failed() {
			return
		}
	}
}

func TestTortureTCP(t *testing.T) {
	quietly(t)
	tortureSockets(t, func(rnd *rand.Rand, nc net.Conn) net.Conn {
		if rnd.IntN(2) == 0 {
			return newStorm(nc, rnd)
		}
		return nc // the client writes to the socket itself
	}, func(nc net.Conn) net.Conn { return nc })
}

func TestTortureTLS(t *testing.T) {
	quietly(t)
	cert, pool := peertest.Certificate(t, "a1.math.tcp.svc")
	tortureSockets(t, func(rnd *rand.Rand, nc net.Conn) net.Conn {
		var under net.Conn = nc
		if rnd.IntN(2) == 0 {
			s := newStorm(nc, rnd)
			s.left += 6 // after the handshake, mostly
			under = s
		}
		return tls.Client(under, &tls.Config{RootCAs: pool, ServerName: "a1.math.tcp.svc"})
	}, func(nc net.Conn) net.Conn {
		return tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
	})
}

// tortureSockets kills the server's end of real connections at a random moment, while the
// client's end fails in its own ways.
func tortureSockets(t *testing.T, client func(*rand.Rand, net.Conn) net.Conn, server func(net.Conn) net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range *tortureRounds {
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 4))
		ours, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		how, when := rnd.IntN(4), time.Duration(rnd.IntN(4000))*time.Microsecond
		kill := time.AfterFunc(when, func() {
			tcp := theirs.(*net.TCPConn)
			switch how {
			case 0: // a process is killed
				tcp.SetLinger(0)
				tcp.Close()
			case 1: // one ends
				tcp.Close()
			case 2:
				tcp.CloseWrite()
			case 3:
				tcp.CloseRead()
			}
		})
		// A slow machine makes requests late. Only those that hang count.
		torment(t, seed, client(rnd, ours), server(theirs), 20*time.Second)
		kill.Stop()
		theirs.Close()
		if t.Failed() {
			return
		}
	}
}
