package rpcclient

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/rpc"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/internal/rpcwire/wiretest"
)

// preyVar in the environment makes the test binary a client that calls the hostile
// servers in it: "name=address name=address".
const preyVar = "ROLLCALL_HOSTILE_SERVERS"

// The memory that the attacked client may use: the reply that it reads, the value decoded
// from it, as much garbage, and the program itself.
const (
	preyReply  = 16 << 20
	preyMemory = 2*(2+4)*preyReply + 64<<20
)

// goodMark begins the names of attacks whose answer must be decoded.
const goodMark = "good:"

// answers is the server's half of a stream.
type answers struct{ *wiretest.Stream }

func newAnswers() *answers { return &answers{wiretest.NewStream()} }

func (a *answers) header(seq uint64, text string) *answers {
	a.Value(rpc.Response{ServiceMethod: "Hostile.Get", Seq: seq, Error: text})
	return a
}

func (a *answers) value(v any) *answers {
	a.Value(v)
	return a
}

// attack answers a request.
type attack struct {
	good  bool
	reply func(a *answers, seq uint64)
	send  func(nc net.Conn, b []byte) // nil: at once
}

func deepBody(before, down, up string) []byte {
	return wiretest.Deep(4_000_000, before, down, up, "\x00")
}

func attacks() map[string]attack {
	chain, nest, wood := deepBody("", "\x02", "\x00"), deepBody("\x00", "\x01", ""), deepBody("\x00", "\x01\x00", "")
	raw := func(v any, body []byte) func(*answers, uint64) {
		return func(a *answers, seq uint64) { a.header(seq, "").Body(v, body) }
	}
	return map[string]attack{
		"deep structs":                    {reply: raw(wiretest.Chain{V: 1}, chain)},
		"deep structs in a field":         {reply: raw(wiretest.Newer{More: wiretest.Chain{V: 1}}, append([]byte{2}, chain...))},
		"deep slices":                     {reply: raw(wiretest.Nest{{}}, nest)},
		"deep maps":                       {reply: raw(wiretest.Wood{"": nil}, wood)},
		"deep, beside an error":           {reply: func(a *answers, seq uint64) { a.header(seq, "no").Body(wiretest.Chain{V: 1}, chain) }},
		"deep, asked by nobody":           {reply: func(a *answers, seq uint64) { a.header(seq+1000, "").Body(wiretest.Chain{V: 1}, chain) }},
		"2^30 entries":                    {reply: raw(map[int]int{1: 1}, []byte{0, 0xfc, 0x40, 0, 0, 0, 1, 1})},
		"entries for ever":                {reply: raw(map[struct{ A, B int }]struct{}{{1, 1}: {}}, []byte{0, 0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})},
		"slices of slices":                {reply: raw(wiretest.Nest{{}}, []byte{0, 0xfd, 0x10, 0, 0, 0xfd, 0x10, 0, 0, 0xfd, 0x10, 0, 0})},
		"an unknown type in an interface": {reply: raw(Any{Inner{1}}, []byte("\x01\x07no.Type\x50\x01\x00\x00"))},
		"a length and no more":            {reply: func(a *answers, seq uint64) { a.header(seq, "").Write([]byte{0xfd, 0xf0, 0, 0}) }},
		"a length of 2^63": {reply: func(a *answers, seq uint64) {
			a.header(seq, "").Write([]byte{0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}},
		"half an answer": {reply: raw([]byte{1}, append([]byte{0, 0xfd, 0x10, 0, 0}, make([]byte, 1000)...)), send: func(nc net.Conn, b []byte) {
			nc.Write(b[:len(b)-10])
			nc.Close()
		}},
		"noise": {reply: func(a *answers, seq uint64) {
			rnd := rand.New(rand.NewPCG(seq, 1))
			for range 100_000 {
				a.WriteByte(byte(rnd.Uint32()))
			}
		}},
		"definitions without end": {reply: func(a *answers, seq uint64) {
			a.header(seq, "")
			a.Write(wiretest.Definitions(4 << 20))
		}},
		"answers that nobody asked for, without end": {reply: func(a *answers, seq uint64) {
			for i := range uint64(1000) {
				a.header(seq+1000+i, "").value(make([]byte, 1000))
			}
		}, send: func(nc net.Conn, b []byte) {
			// Definitions are sent once: the first answer has them, the others follow it.
			for _, err := nc.Write(b); err == nil; _, err = nc.Write(b[len(b)-1020:]) {
			}
		}},
		"a drain that is none": {good: true, reply: func(a *answers, seq uint64) {
			for _, text := range []string{"drain", "drain x", "drain -1", "retire 99999999999999999999", ""} {
				a.Value(rpc.Response{ServiceMethod: rpcwire.NoticeMethod, Seq: rpcwire.NoticeSeq, Error: text})
				a.value(struct{}{})
			}
			a.header(seq, "").value(wiretest.Flat{V: 42})
		}},
		"ids that nobody used": {good: true, reply: func(a *answers, seq uint64) {
			for i := range uint64(1000) {
				a.header(seq+1+i, "").value(wiretest.Flat{V: 1})
			}
			a.header(seq, "").value(wiretest.Flat{V: 42})
		}},
		"the same answer again": {good: true, reply: func(a *answers, seq uint64) {
			for range 100 {
				a.header(seq, "").value(wiretest.Flat{V: 42})
			}
		}},
		"a byte at a time": {good: true, reply: func(a *answers, seq uint64) { a.header(seq, "").value(wiretest.Flat{V: 42}) }, send: func(nc net.Conn, b []byte) {
			for i := range b {
				nc.Write(b[i : i+1])
			}
		}},
		"nothing wrong": {good: true, reply: func(a *answers, seq uint64) { a.header(seq, "").value(wiretest.Flat{V: 42}) }},
	}
}

// serveHostile answers the first ping correctly, and every call by the attack.
func serveHostile(l net.Listener, x attack, serving *sync.WaitGroup) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		serving.Go(func() {
			defer nc.Close()
			dec := gob.NewDecoder(nc)
			a := newAnswers()
			for {
				var req rpc.Request
				var args Args
				if dec.Decode(&req) != nil {
					return
				}
				if req.ServiceMethod == rpcwire.PingMethod {
					dec.DecodeValue(reflect.Value{})
					a.header(req.Seq, "no such method").value(struct{}{})
					nc.Write(a.Bytes())
					a.Reset()
					continue
				}
				if dec.Decode(&args) != nil {
					return
				}
				x.reply(a, req.Seq)
				if x.send != nil {
					x.send(nc, a.Bytes())
				} else {
					nc.Write(a.Bytes())
				}
				a.Reset()
			}
		})
	}
}

// prey calls each server for each type of reply, and prints the results.
func prey(ctx context.Context) error {
	for _, server := range strings.Split(os.Getenv(preyVar), " ") {
		name, addr, _ := strings.Cut(server, "=")
		good, late := 0, 0
		// A good answer gets time, because the machine may be busy. A bad one may never come.
		limit := 300 * time.Millisecond
		if strings.HasPrefix(name, goodMark) {
			limit = time.Minute
		}
		for _, reply := range []any{nil, new(wiretest.Flat), new(wiretest.Chain), new(wiretest.Nest), new(wiretest.Wood), new(Any), new(map[int]int), new(map[struct{ A, B int }]struct{})} {
			c, err := New("_prey._tcp.svc", &Config{
				Source: announce(addr), Conn: ConnConfig{PerNode: 1, MaxReply: preyReply}, Timeout: limit, WaitForNode: time.Minute, Retry: RetryConfig{Max: -1},
			})
			if err != nil {
				return err
			}
			if err := c.Ready(ctx); err != nil {
				return err
			}
			begin := time.Now()
			err = c.Call(ctx, "Hostile.Get", &Args{1, 2}, reply)
			if flat, ok := reply.(*wiretest.Flat); ok && err == nil && flat.V == 42 {
				good++
			}
			if time.Since(begin) > limit+20*time.Second {
				late++
			}
			c.Close()
		}
		memory, err := peertest.PeakMemory(0)
		if err != nil {
			return err
		}
		fmt.Println(name, good, late, memory)
	}
	<-ctx.Done()
	return nil
}

// TestHostileServers answer a client in a process of its own. It survives, its calls end,
// its memory stays within the bound, and it decodes each answer that can be decoded.
func TestHostileServers(t *testing.T) {
	if os.Getenv(preyVar) != "" {
		peertest.Main(prey)
	}
	all := attacks()
	var serving sync.WaitGroup
	defer serving.Wait() // after the client and the listeners are closed
	var env []string
	var names []string
	for name, x := range all {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		serving.Go(func() { serveHostile(l, x, &serving) })
		word := strings.ReplaceAll(name, " ", "_")
		if x.good {
			word = goodMark + word
		}
		env = append(env, word+"="+l.Addr().String())
		names = append(names, name)
	}
	p := peertest.StartSelf(t, "prey", preyVar+"="+strings.Join(env, " "))
	defer p.Kill()
	for _, name := range names {
		line, err := p.Line()
		if err != nil {
			t.Fatalf("%s: %v", name, errors.Join(err))
		}
		fields := strings.Fields(line)
		if len(fields) != 4 || strings.TrimPrefix(fields[0], goodMark) != strings.ReplaceAll(name, " ", "_") {
			t.Fatalf("%s: the client says %q", name, line)
		}
		good, _ := strconv.Atoi(fields[1])
		memory, _ := strconv.Atoi(fields[3])
		if all[name].good != (good == 1) {
			t.Errorf("%s: %d good answers", name, good)
		}
		if fields[2] != "0" {
			t.Errorf("%s: %s calls end long after their time", name, fields[2])
		}
		if memory > preyMemory && !peertest.UnderRace() {
			t.Errorf("%s: %d MiB of memory, more than %d", name, memory>>20, preyMemory>>20)
		}
	}
}
