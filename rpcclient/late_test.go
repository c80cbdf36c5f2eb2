package rpcclient

import (
	"context"
	"encoding/gob"
	"testing"
)

// Nils answers, when it is let, with interface values of which some are nil.
type Nils struct {
	entered chan struct{}
	let     chan struct{}
}

// List brings the definition of a type with it, the first time.
func (n *Nils) List(_ int, out *[]any) error {
	n.entered <- struct{}{}
	<-n.let
	*out = []any{nil, Inner{7}, nil, Outer{Inner{8}}, nil}
	return nil
}

// Map brings nothing.
func (n *Nils) Map(_ int, out *map[string]any) error {
	n.entered <- struct{}{}
	<-n.let
	*out = map[string]any{"x": nil, "y": 1}
	return nil
}

// TestLateRepliesWithNilsTouchNothing: encoding/gob, when it skips a nil interface
// value, goes on into the next message, which is another call's.
func TestLateRepliesWithNilsTouchNothing(t *testing.T) {
	gob.Register(Inner{})
	gob.Register(Outer{})
	for name, tt := range map[string]struct {
		method string
		reply  any
	}{
		"list":         {"Nils.List", new([]any)},
		"map":          {"Nils.Map", new(map[string]any)},
		"nobody's map": {"Nils.Map", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := startStock(t, "")
			nils := &Nils{make(chan struct{}, 1), make(chan struct{})}
			s.rpc.Register(nils)
			c := newClient(t, Config{ConnsPerNode: 1}, s.addr)
			if tt.reply == nil { // see Call
				first := c.Go(t.Context(), tt.method, 0, new(map[string]any), nil)
				nils.let <- <-nils.entered
				if <-first.Done; first.Error != nil {
					t.Fatal(first.Error)
				}
			}
			for range 2 { // the second time all types are known
				ctx, cancel := context.WithCancel(t.Context())
				late := c.Go(ctx, tt.method, 0, tt.reply, nil)
				<-nils.entered
				other := c.Go(t.Context(), "Arith.Block", &Args{A: 5}, new(int), nil)
				<-s.arith.entered
				cancel()
				<-late.Done
				nils.let <- struct{}{}
				// The late reply has come when a ping sent after it is answered.
				if err := c.Call(t.Context(), "Arith.Who", &Args{}, new(string)); err != nil {
					t.Fatal("the next call:", err)
				}
				s.arith.block <- struct{}{}
				if <-other.Done; other.Error != nil || *other.Reply.(*int) != 5 {
					t.Fatal("another call on the connection:", other.Error)
				}
			}
			if n := c.Stats().Dials; n != 1 {
				t.Errorf("%d connections were made", n)
			}
		})
	}
}
