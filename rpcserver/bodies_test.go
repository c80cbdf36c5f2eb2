package rpcserver_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"net/rpc"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Bodies echoes values that are no structs.
type Bodies struct{}

// Bytes echoes bytes.
func (Bodies) Bytes(in []byte, out *[]byte) error {
	*out = in
	return nil
}

// pattern is n bytes that differ from each other.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + n)
	}
	return b
}

// TestBodiesOfEverySize are decoded from the read buffer, from a buffer of their own, or
// by encoding/gob, one after the other and many at once.
func TestBodiesOfEverySize(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{}, Echo{}, Bodies{})
	ours, err := rpcclient.New("_echo._tcp.svc", &rpcclient.Config{Source: resolver.Static(addr)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	stock := dial(t, addr)
	for name, send := range map[string]func(method string, args, reply any, done chan *rpc.Call) *rpc.Call{
		"net/rpc": stock.Go,
		"rollcall": func(method string, args, reply any, done chan *rpc.Call) *rpc.Call {
			return ours.Go(context.Background(), method, args, reply, done)
		},
	} {
		t.Run(name, func(t *testing.T) {
			sizes := []int{0, 1, 127, 128, 1000, 16<<10 - 40, 16 << 10, 16<<10 + 1, 64 << 10, 300_000, 1<<20 - 30, 1 << 20, 3 << 20, 5}
			done := make(chan *rpc.Call, 4*len(sizes))
			for round := range 2 {
				for _, n := range sizes {
					send("Echo.Echo", Payload{pattern(n)}, &Payload{}, done)
					send("Bodies.Bytes", pattern(n), &[]byte{}, done)
					if round == 0 {
						check(t, <-done)
						check(t, <-done)
					}
				}
			}
			for range 2 * len(sizes) {
				check(t, <-done)
			}
		})
	}
}

// check compares an echo with the value that was sent.
func check(t *testing.T, call *rpc.Call) {
	t.Helper()
	if call.Error != nil {
		t.Fatal(call.Error)
	}
	var sent, got []byte
	switch args := call.Args.(type) {
	case Payload:
		sent, got = args.Data, call.Reply.(*Payload).Data
	case []byte:
		sent, got = args, *call.Reply.(*[]byte)
	}
	if !bytes.Equal(sent, got) {
		t.Errorf("%s: sent %d bytes, got %d others", call.ServiceMethod, len(sent), len(got))
	}
}

// TestBodyThatDoesNotFitIsThatCallsProblem, whatever its size, also when its type has fitted
// before.
func TestBodyThatDoesNotFitIsThatCallsProblem(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{}, Echo{})
	c := dial(t, addr)
	for _, n := range []int{10, 100_000, 2 << 20} {
		for range 2 {
			var reply Payload
			err := c.Call("Echo.Echo", struct{ Data string }{strings.Repeat("x", n)}, &reply)
			wantError(t, err, "gob: ")
			if err := c.Call("Echo.Echo", Payload{pattern(n)}, &reply); err != nil || len(reply.Data) != n {
				t.Fatalf("%d bytes: a good call after a bad one: %d bytes, %v", n, len(reply.Data), err)
			}
		}
	}
}

// TestDamagedBodyIsThatCallsProblem, because its length says where it ends.
func TestDamagedBodyIsThatCallsProblem(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{}, Echo{})
	c := raw(t, addr)
	var pattern bytes.Buffer
	gob.NewEncoder(&pattern).Encode(Payload{[]byte("x")})
	c.send(t, "Echo.Echo", Payload{[]byte("right")})
	var reply Payload
	if resp := c.recv(t, &reply); resp.Error != "" || string(reply.Data) != "right" {
		t.Fatal(resp.Error, reply)
	}
	id := typeID(t, pattern.Bytes())
	for _, n := range []int{100, 20_000} {
		c.seq++
		if err := c.enc.Encode(rpc.Request{ServiceMethod: "Echo.Echo", Seq: c.seq}); err != nil {
			t.Fatal(err)
		}
		body := append(gobvalue.AppendUint(nil, gobvalue.ToUint(id)), bytes.Repeat([]byte{0x7f}, n)...)
		c.buf.Write(append(gobvalue.AppendUint(nil, uint64(len(body))), body...))
		c.buf.Flush()
		if resp := c.recv(t, nil); resp.Error == "" {
			t.Errorf("a damaged body of %d bytes was taken", n)
		}
		c.send(t, "Echo.Echo", Payload{[]byte(fmt.Sprint(n))})
		if resp := c.recv(t, &reply); resp.Error != "" || string(reply.Data) != fmt.Sprint(n) {
			t.Errorf("after a damaged body of %d bytes: %q, %q", n, resp.Error, reply.Data)
		}
	}
}

// typeID is the id in the last message of a stream, which is a value.
func typeID(t *testing.T, stream []byte) int64 {
	t.Helper()
	for {
		size, n := gobvalue.ReadUint(stream)
		id, m := gobvalue.ReadUint(stream[n:])
		if n == 0 || m == 0 {
			t.Fatal("not a gob stream")
		}
		if id := gobvalue.ToInt(id); id > 0 {
			return id
		}
		stream = stream[n+int(size):]
	}
}
