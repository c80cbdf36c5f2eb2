package rpcclient

import (
	"math"
	"net"
	"net/rpc"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

func (p *peer) drain(last uint64) {
	p.enc.Encode(rpcwire.Drain(last))
	p.enc.Encode(struct{}{})
}

func TestDrainFrameSendsLaterCallsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dropped atomic.Int32
		f := newFakeNet(map[string]func(net.Conn){"good:1": stock(&Arith{})})
		f.set("old:1", func(nc net.Conn) {
			p := newPeer(nc)
			first, args, err := p.next()
			if err != nil {
				return
			}
			second, _, err := p.next()
			if err != nil {
				return
			}
			// The first request is accepted and takes long; the second one is not.
			dropped.Add(1)
			p.drain(first.Seq)
			if second.Seq <= first.Seq {
				t.Error("sequence numbers do not grow")
			}
			time.Sleep(time.Second)
			p.answer(first.Seq, "", args.A*args.B)
			if _, _, err := p.next(); err == nil {
				t.Error("a call came after the drain frame")
			}
		})
		a := announce("old:1")
		c := fakeClient(t, f, Config{Source: a, Conn: ConnConfig{PerNode: 1}, Policy: balancer.RoundRobin})
		defer c.Close()
		ready(t, c)
		one := c.Go(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), nil)
		synctest.Wait()
		a.say("old:1", "good:1")
		synctest.Wait()
		// Call until a second request is at old:1.
		for dropped.Load() == 0 {
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		f.set("old:1", nil)
		for range 20 {
			var node string
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), OnNode(&node)); err != nil || node != "good:1" {
				t.Fatal(node, err)
			}
		}
		if <-one.Done; one.Error != nil || *one.Reply.(*int) != 42 {
			t.Error("call accepted before the drain:", one.Error)
		}
		if s := c.Stats(); s.FailedMaybe+s.FailedNever > 0 || s.Retries == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// rpcserver first says that it drains, and later which request was its last.
func TestDrainInTwoSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"good:1": stock(&Arith{})})
		f.set("old:1", func(nc net.Conn) {
			p := newPeer(nc)
			first, args, err := p.next()
			if err != nil {
				return
			}
			p.drain(math.MaxUint64)
			time.Sleep(time.Second)
			p.answer(first.Seq, "", args.A*args.B)
			p.drain(first.Seq)
			nc.Close()
		})
		a := announce("old:1")
		c := fakeClient(t, f, Config{Source: a, Conn: ConnConfig{PerNode: 1}})
		defer c.Close()
		ready(t, c)
		one := c.Go(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), nil)
		synctest.Wait()
		a.say("old:1", "good:1")
		for range 20 {
			var node string
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), OnNode(&node)); err != nil || node != "good:1" {
				t.Fatal(node, err)
			}
		}
		if <-one.Done; one.Error != nil {
			t.Error(one.Error)
		}
	})
}

// The frame must be harmless to the client of the standard library.
func TestStockClientDropsTheDrainFrame(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() {
		p := newPeer(theirs)
		p.drain(5)
		req, args, _ := p.next()
		p.drain(6)
		p.answer(req.Seq, "", args.A*args.B)
	}()
	client := rpc.NewClient(ours)
	defer client.Close()
	var reply int
	if err := client.Call("Arith.Multiply", &Args{6, 7}, &reply); err != nil || reply != 42 {
		t.Fatal(reply, err)
	}
}
