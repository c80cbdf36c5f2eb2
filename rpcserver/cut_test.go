package rpcserver_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"io"
	"net"
	"net/rpc"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// TestRequestThatIsCutOffIsKnownNotToBeExecuted, wherever a proxy that closes one
// direction has cut it. It is not answered with an error, which would be final.
func TestRequestThatIsCutOffIsKnownNotToBeExecuted(t *testing.T) {
	counted := new(Counted)
	_, addr := serve(t, rpcserver.Config{}, counted)
	var stream bytes.Buffer
	enc := gob.NewEncoder(&stream)
	var whole [3]int // where each request ends
	for i := range whole {
		if err := errors.Join(enc.Encode(rpc.Request{ServiceMethod: "Counted.Call", Seq: uint64(i + 1)}), enc.Encode(1000*i)); err != nil {
			t.Fatal(err)
		}
		whole[i] = stream.Len()
	}
	for cut := whole[0]; cut <= whole[2]; cut++ {
		c := raw(t, addr)
		if _, err := c.nc.Write(stream.Bytes()[:cut]); err != nil {
			t.Fatal(err)
		}
		c.nc.(*net.TCPConn).CloseWrite()
		complete := uint64(0)
		for _, end := range whole {
			if cut >= end {
				complete++
			}
		}
		answered, last := uint64(0), ""
		for {
			var resp rpc.Response
			err := c.dec.Decode(&resp)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if resp.Seq == maxSeq {
				last = resp.Error
				c.dec.Decode(&struct{}{})
				continue
			}
			var n int
			if err := c.dec.Decode(&n); err != nil || resp.Error != "" || n != 1000*int(resp.Seq-1) {
				t.Fatalf("cut at %d: %+v, %d, %v", cut, resp, n, err)
			}
			answered++
		}
		if answered != complete {
			t.Errorf("cut at %d: %d answered of %d", cut, answered, complete)
		}
		between := cut == whole[0] || cut == whole[1] || cut == whole[2]
		if want := "retire " + strconv.FormatUint(complete, 10); !between && last != want {
			t.Errorf("cut at %d: got %q, want %q", cut, last, want)
		}
		c.nc.Close()
	}
	if n := counted.n.Load(); n == 0 {
		t.Error("nothing was executed")
	}
}

// TestRequestThatCrossesTheEndOfAnIdleConnectionIsKnownNotToBeExecuted: the end says
// which request was the last.
func TestRequestThatCrossesTheEndOfAnIdleConnectionIsKnownNotToBeExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rpcserver.New(rpcserver.Config{Limits: rpcserver.Limits{IdleTimeout: time.Minute}})
		s.Register(newArith())
		c := piped(t, s)
		seq := c.send(t, "Arith.Multiply", Args{1, 1})
		c.recv(t, new(int))
		var resp rpc.Response
		if err := c.dec.Decode(&resp); err != nil {
			t.Fatal(err)
		}
		if want := "retire " + strconv.FormatUint(seq, 10); resp.Error != want || resp.Seq != maxSeq {
			t.Errorf("got %+v, want %q", resp, want)
		}
		c.nc.Close()
		s.Close()
	})
}
