package rpcserver_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/internal/rpcwire/wiretest"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// hostileVar in the environment makes the test binary a server to be attacked.
const hostileVar = "ROLLCALL_HOSTILE"

// Prey has a method for each kind of argument.
type Prey struct{}

// Wide is large here, and small on the wire.
type Wide struct{ A [100]int }

func (Prey) Flat(wiretest.Flat, *int) error          { return nil }
func (Prey) Chain(*wiretest.Chain, *int) error       { return nil }
func (Prey) Nest(wiretest.Nest, *int) error          { return nil }
func (Prey) Wood(wiretest.Wood, *int) error          { return nil }
func (Prey) Box(Box, *int) error                     { return nil }
func (Prey) List([]any, *int) error                  { return nil }
func (Prey) Map(map[uint64]uint64, *int) error       { return nil }
func (Prey) Empty(map[Quotient]struct{}, *int) error { return nil }
func (Prey) Wide(in []Wide, out *int) error {
	time.Sleep(100 * time.Millisecond) // for other arguments to be there, too
	*out = len(in)
	return nil
}
func (Prey) Wides([][]Wide, *int) error    { return nil }
func (Prey) Len(in []byte, out *int) error { *out = len(in); return nil }

// Big has a large answer.
func (Prey) Big(n int, out *[]byte) error {
	*out = make([]byte, n)
	return nil
}

// The limits of the attacked server, and the memory that it may use: requests and the
// values decoded from them, with one beyond the limit, twice while slices grow, as much
// garbage, the connections, and the program itself.
const (
	preyFrame   = 16 << 20
	preyBytes   = 32 << 20
	preyConns   = 300
	preyTimeout = 500 * time.Millisecond
	preyMemory  = 2*2*(preyBytes+4*preyFrame) + 64<<20
)

func prey(ctx context.Context) error {
	registerPrey()
	s := rpcserver.New(rpcserver.Config{
		Limits: rpcserver.Limits{Frame: preyFrame, BytesTotal: preyBytes, Conns: preyConns, FrameTimeout: preyTimeout, WriteTimeout: preyTimeout},
	})
	if err := s.Register(Prey{}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return s.Serve(l)
}

func registerPrey() {
	gob.Register(wiretest.Chain{})
	gob.Register(wiretest.Nest{})
	gob.Register(wiretest.Wood{})
	gob.Register([]any{})
}

// stream is the client's half of a stream.
type stream struct {
	*wiretest.Stream
	seq uint64
}

func newStream() *stream { return &stream{Stream: wiretest.NewStream()} }

func (s *stream) header(method string) *stream {
	s.seq++
	s.Value(rpc.Request{ServiceMethod: method, Seq: s.seq})
	return s
}

// argument appends the definitions of v, and then a value of its type with this body
// instead of v's own.
func (s *stream) argument(v any, body []byte) *stream {
	s.Body(v, body)
	return s
}

// hostileStreams are requests that encoding/gob does not survive, and requests that cost
// much more to serve than to send.
func hostileStreams() map[string][]byte {
	const depth = 4_000_000
	chain := wiretest.Deep(depth, "", "\x02", "\x00", "\x00")
	nest := wiretest.Deep(depth, "\x00", "\x01", "", "\x00")
	wood := wiretest.Deep(depth, "\x00", "\x01\x00", "", "\x00")
	all := map[string][]byte{
		"length and no more":      append(newStream().header("Prey.Len").Bytes(), 0xfc, 0, 0xff, 0xff, 0xff, 0x0a, 0, 0xfc, 0, 0xff, 0xff, 0xf0),
		"definitions without end": append(newStream().header("Prey.Flat").Bytes(), wiretest.Definitions(4<<20)...),
	}
	one := func(name, method string, v any, body []byte) {
		all[name] = newStream().header(method).argument(v, body).Bytes()
	}
	one("deep structs to an unknown method", "Prey.Nope", wiretest.Chain{V: 1}, chain)
	one("deep structs in an unknown field", "Prey.Flat", wiretest.Newer{More: wiretest.Chain{V: 1}}, append([]byte{2}, chain...))
	one("deep structs, all but one field unknown", "Prey.Flat", wiretest.Chain{V: 1}, chain)
	one("deep structs of a recursive type", "Prey.Chain", wiretest.Chain{V: 1}, chain)
	one("deep slices to an unknown method", "Prey.Nope", wiretest.Nest{{}}, nest)
	one("deep slices", "Prey.Nest", wiretest.Nest{{}}, nest)
	one("deep slices to another type", "Prey.Flat", wiretest.Nest{{}}, nest)
	one("deep maps to an unknown method", "Prey.Nope", wiretest.Wood{"": nil}, wood)
	one("deep maps", "Prey.Wood", wiretest.Wood{"": nil}, wood)
	for _, method := range []string{"Prey.Box", "Prey.Nope", "Prey.Flat"} {
		for _, v := range []any{wiretest.Chain{V: 1}, wiretest.Nest{{}}, wiretest.Wood{"": nil}} {
			s := newStream().header(method)
			body := map[string][]byte{"Chain": chain, "Nest": nest, "Wood": wood}[kindOf(v)]
			all["deep "+kindOf(v)+" in an interface value to "+method] = s.boxed(v, body)
		}
	}
	level := "\x01\x0e[]interface {}"
	s := newStream().header("Prey.List")
	s.Value([]any{[]any{1}}) // defines it
	id := string(wiretest.TypeID(gobvalue.LastMessage(s.Bytes())))
	s.header("Prey.List").argument([]any{1}, wiretest.Deep(400_000, "\x00", level+id+"\x01\x00", "", "\x00"))
	all["deep interfaces"] = s.Bytes()

	one("a map of 2^30 entries", "Prey.Map", map[uint64]uint64{1: 1}, []byte{0, 0xfc, 0x40, 0, 0, 0, 1, 1})
	one("a map that counts for ever", "Prey.Empty", map[Quotient]struct{}{{1, 1}: {}}, []byte{0, 0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	one("a map of 2^30 entries, unwanted", "Prey.Nope", map[Quotient]struct{}{{1, 1}: {}}, []byte{0, 0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	one("slices of 2^20 slices of 2^20", "Prey.Nest", wiretest.Nest{{}}, []byte{0, 0xfd, 0x10, 0, 0, 0xfd, 0x10, 0, 0, 0xfd, 0x10, 0, 0, 0xfd, 0x10, 0, 0})
	one("elements that are large here", "Prey.Wide", []Wide{{}}, append([]byte{0, 0xfc, 0, 0x80, 0, 0}, make([]byte, 8<<20)...))
	many := []byte{0, 0xfe, 0xc3, 0x50} // 50,000 slices of 80, each of which is small enough
	for range 50_000 {
		many = append(append(many, 80), make([]byte, 80)...)
	}
	one("many elements that are large here", "Prey.Wides", [][]Wide{{{}}}, many)
	s = newStream().header("Prey.Wides")
	s.Value([][]Wide{{{}}}) // and of a type that is known
	all["many elements of a known type"] = s.header("Prey.Wides").argument([][]Wide{{{}}}, many).Bytes()
	return all
}

func kindOf(v any) string { return strings.TrimPrefix(fmt.Sprintf("%T", v), "wiretest.") }

// boxed is a Box with v in it, whose body is replaced. v's definitions go before.
func (s *stream) boxed(v any, body []byte) []byte {
	s.Value(v) // as the argument of the first request, which may refuse it
	s.header("Prey.Nope")
	mark := s.Len()
	s.Value(Box{A: v})
	last := bytes.Clone(gobvalue.LastMessage(s.Bytes()[mark:]))
	s.Truncate(s.Len() - len(last))
	// Box's id, field A, name of v's type, its id, a length, and the value.
	id := wiretest.TypeID(last)
	_, n := gobvalue.ReadUint(last)
	rest := last[n+len(id)+1:]
	nameLen, m := gobvalue.ReadUint(rest)
	_, ids := gobvalue.ReadUint(rest[m+int(nameLen):])
	message := append(append(bytes.Clone(id), 1), rest[:m+int(nameLen)+ids]...)
	message = append(gobvalue.AppendUint(message, uint64(len(body))), body...)
	s.Message(append(message, 0))
	return s.Bytes()
}

// TestDefinitionsOfAllConnectionsAreBounded, and forgotten with their connection.
func TestDefinitionsOfAllConnectionsAreBounded(t *testing.T) {
	ended := make(chan error, 100)
	_, addr := serve(t, rpcserver.Config{
		Limits: rpcserver.Limits{BytesTotal: 2 << 20}, Trace: &rpcserver.Trace{ConnEnd: func(_ string, err error) { ended <- err }},
	}, Prey{})
	s := newStream().header("Prey.Flat")
	s.Write(wiretest.Definitions(40 << 10))
	s.argument(wiretest.Flat{V: 1}, []byte{1, 2, 0})
	for range 5 { // each takes more than a third of what there is
		throw(t, addr, s.Bytes())
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	var open []*rawClient
	for range 3 {
		c := raw(t, addr)
		open = append(open, c)
		c.nc.Write(s.Bytes())
		if len(open) < 3 {
			if resp := c.recv(t, new(int)); resp.Error != "" {
				t.Fatal(resp.Error)
			}
		}
	}
	open[2].closed(t)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "type definitions") {
		t.Errorf("the third at once: %v", err)
	}
	for _, c := range open[:2] {
		c.nc.Close()
		<-ended
	}
}

// TestHostileClients attack a server in a process of its own: it lives, its memory
// stays within the bound, and others are served.
func TestHostileClients(t *testing.T) {
	if os.Getenv(hostileVar) != "" {
		peertest.Main(prey)
	}
	registerPrey()
	p := peertest.StartSelf(t, "prey", hostileVar+"=1")
	addr, err := p.Line()
	if err != nil {
		t.Fatal(err)
	}
	attack := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				f(t)
			}()
			pace := time.NewTicker(5 * time.Millisecond) // the attackers need the processors, too
			defer pace.Stop()
			for served := false; !served; {
				select {
				case <-ended:
					served = true // once more, afterwards
				case <-pace.C:
				}
				good, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}).Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				good.SetDeadline(time.Now().Add(time.Minute))
				client := rpc.NewClient(good)
				var n int
				if err := client.Call("Prey.Len", make([]byte, 100), &n); err != nil || n != 100 {
					t.Fatalf("another client: %d, %v", n, err)
				}
				client.Close()
			}
			top, err := peertest.PeakMemory(p.Pid)
			if err != nil {
				t.Fatal("the server has ended: ", err)
			}
			if top > preyMemory && !peertest.UnderRace() {
				t.Errorf("%d MiB of memory, more than %d", top>>20, preyMemory>>20)
			}
		})
	}
	for name, stream := range hostileStreams() {
		attack(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { throw(t, addr, stream) })
			}
			wg.Wait()
		})
	}
	attack("small requests that swell, many at once", func(t *testing.T) {
		const n = 75_000 // of 800 bytes each, of which one is sent: 60 MB, nearly all that an argument may take
		body := append([]byte{0, 0xfd, n >> 16, n >> 8 & 0xff, n & 0xff}, make([]byte, n)...)
		stream := newStream().header("Prey.Wide").argument([]Wide{{}}, body).Bytes()
		attackers := 30
		if peertest.UnderRace() {
			attackers = 10 // the detector needs seconds for each
		}
		var wg sync.WaitGroup
		for range attackers {
			wg.Go(func() { throw(t, addr, stream) })
		}
		wg.Wait()
	})
	attack("a byte at a time", func(t *testing.T) {
		request := newStream().header("Prey.Len").argument([]byte("x"), []byte("\x00\x01x")).Bytes()
		nc := connect(t, addr)
		begin := time.Now()
		for i := 0; ; i++ {
			if _, err := nc.Write(request[i%len(request) : i%len(request)+1]); err != nil {
				return
			}
			if time.Since(begin) > time.Minute || i+2 > len(request) {
				t.Errorf("a request of a byte each 100ms is still being read after %v", time.Since(begin))
				return
			}
			nc.SetReadDeadline(time.Now().Add(preyTimeout / 5))
			if _, err := nc.Read(make([]byte, 1)); err != nil && !os.IsTimeout(err) {
				return
			}
		}
	})
	attack("idle connections", func(t *testing.T) {
		for range 2 * preyConns {
			defer connect(t, addr).Close()
		}
	})
	attack("busy idle connections", func(t *testing.T) {
		for range preyConns {
			nc := connect(t, addr)
			defer nc.Close()
			nc.Write(newStream().header("_rollcall.Ping").argument(wiretest.Flat{V: 1}, []byte{1, 2, 0}).Bytes())
		}
	})
	attack("requests half sent", func(t *testing.T) {
		b := newStream().header("Prey.Len").argument([]byte{1}, append([]byte{0, 0xfc, 0, 0x80, 0, 0}, make([]byte, 8<<20)...)).Bytes()
		var wg sync.WaitGroup
		for range 40 { // 200 MB
			wg.Go(func() {
				nc := connect(t, addr)
				nc.Write(b[:5<<20])
				io.Copy(io.Discard, nc)
			})
		}
		wg.Wait()
	})
	attack("a client that does not read", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s := newStream()
				for range 1000 {
					s.header("Prey.Big")
					s.Value(10_000)
				}
				nc := connect(t, addr)
				for { // until it is cut off
					if _, err := nc.Write(s.Bytes()); os.IsTimeout(err) {
						t.Error("it is not cut off")
					} else if err != nil {
						return
					}
				}
			})
		}
		wg.Wait()
	})
	p.Kill()
}

func connect(t testing.TB, addr string) net.Conn {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return nil
	}
	nc.SetDeadline(time.Now().Add(3 * time.Minute)) // the requests of others may come first
	t.Cleanup(func() { nc.Close() })
	return nc
}

// throw sends a stream, and waits until the server has ended the connection.
func throw(t testing.TB, addr string, stream []byte) {
	nc := connect(t, addr)
	if nc == nil {
		return
	}
	go func() {
		nc.Write(stream)
		nc.(*net.TCPConn).CloseWrite()
	}()
	if _, err := io.Copy(io.Discard, nc); os.IsTimeout(err) {
		t.Error("the server goes on reading")
	}
	nc.Close()
}
