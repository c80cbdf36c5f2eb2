package conn

import (
	"bytes"
	"encoding/gob"
	"net/rpc"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// TestDeadlineAndMetadataTravel, with the time that is left when the request is encoded. A
// request without them is as net/rpc has it.
func TestDeadlineAndMetadataTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, answer{}, nil)
		ctx := callmeta.WithOutgoing(callmeta.WithOutgoing(t.Context(), "b", "2"), "a", "1")
		meta, err := callmeta.Outgoing(ctx)
		if err != nil {
			t.Fatal(err)
		}
		timed := func(req *Request) { req.Deadline = req.Start + time.Minute }
		for name, tt := range map[string]struct {
			change func(*Request)
			want   asked
		}{
			"plain":             {nil, asked{}},
			"not to travel":     {timed, asked{}},
			"deadline":          {func(req *Request) { timed(req); req.Travels = true }, asked{Timeout: 60_000_000}},
			"no deadline":       {func(req *Request) { req.Travels = true }, asked{}},
			"metadata":          {func(req *Request) { req.Meta = meta }, asked{Meta: []string{"a", "1", "b", "2"}}},
			"both, a while ago": {func(req *Request) { timed(req); req.Travels, req.Meta = true, meta; time.Sleep(time.Second) }, asked{Timeout: 59_000_000, Meta: []string{"a", "1", "b", "2"}}},
		} {
			req := send(t, c, tt.change)
			tt.want.ServiceMethod, tt.want.Seq = "A.B", req.seq
			if got := s.drain(); !reflect.DeepEqual(got, []asked{tt.want}) {
				t.Errorf("%s: %+v, want %+v", name, got, tt.want)
			}
			c.Abandon(req)
		}
		late := NewRequest()
		late.Method, late.Args, late.Start, late.Travels = "A.B", 1, c.Now(), true
		late.Deadline = late.Start + 1
		time.Sleep(time.Nanosecond)
		if err := c.Send(t.Context(), late); err != (UnsentError{}) {
			t.Errorf("a request whose time is over: %v", err)
		}
	})
}

// TestPlainRequestsAreThoseOfNetRPC, byte for byte.
func TestPlainRequestsAreThoseOfNetRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		args := []any{1, "text", &Payload{[]byte("data")}, Payload{}, int64(1) << 40, struct{}{}, "more", &Payload{[]byte("data")}}
		var theirs bytes.Buffer
		enc := gob.NewEncoder(&theirs)
		for i, a := range args { // as its client does it, which begins with 0
			enc.Encode(&rpc.Request{ServiceMethod: "Echo.Echo", Seq: uint64(i + 1)})
			enc.Encode(a)
		}
		client, server := peertest.MemoryPipe()
		defer server.Close()
		c := NewSet(testConfig()).Start(client, nobody{})
		defer c.Wait()
		defer c.Fail(errTest)
		for _, a := range args {
			send(t, c, func(req *Request) { req.Method, req.Args, req.Reply = "Echo.Echo", a, nil })
		}
		synctest.Wait()
		ours := make([]byte, 1<<20)
		n, _ := server.Read(ours)
		if !bytes.Equal(ours[:n], theirs.Bytes()) {
			t.Errorf("got  %x\nwant %x", ours[:n], theirs.Bytes())
		}
	})
}
