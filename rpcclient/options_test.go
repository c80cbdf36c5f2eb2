package rpcclient

import (
	"math"
	"reflect"
	"strconv"
	"testing"

	"github.com/rollcall-dns/rollcall/balancer"
)

func TestOptionsOfACallCombine(t *testing.T) {
	safe, hedged := Method{Idempotent: true}, Method{Idempotent: true, Hedge: 0.1}
	for name, tt := range map[string]struct {
		declared Method
		opts     []CallOption
		want     Method
	}{
		"none":                          {hedged, nil, hedged},
		"Idempotent":                    {Method{}, []CallOption{Idempotent()}, safe},
		"Idempotent leaves hedging":     {hedged, []CallOption{Idempotent()}, hedged},
		"Hedge is idempotent":           {Method{}, []CallOption{Hedge(0.1)}, hedged},
		"Hedge replaces the share":      {Method{Idempotent: true, Hedge: 0.02}, []CallOption{Hedge(0.1)}, hedged},
		"Hedge before Idempotent":       {Method{}, []CallOption{Hedge(0.1), Idempotent()}, hedged},
		"Hedge(0) ends hedging":         {hedged, []CallOption{Hedge(0)}, safe},
		"a negative share is none":      {Method{}, []CallOption{Hedge(-1)}, safe},
		"a share is a half at the most": {Method{}, []CallOption{Hedge(7)}, Method{Idempotent: true, Hedge: 0.5}},
	} {
		c := newClient(t, Config{Methods: map[string]Method{"A.B": tt.declared}, Source: announce()})
		if got := c.newCall("A.B", nil, nil, tt.opts).options.Method; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// OnNode tells which node has answered, with an error or with a reply that does not fit,
// too, and an option that is used again says nothing of the call before.
func TestOnNodeIsTheNodeThatAnswered(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	var node string
	on := OnNode(&node)
	for _, tt := range []struct {
		method string
		args   Args
		reply  any
		want   string
	}{
		{"Arith.Multiply", Args{6, 7}, new(int), s.addr},
		{"Arith.Multiply", Args{6, 7}, 0, ""}, // no pointer: nothing is sent
		{"Arith.Multiply", Args{6, 7}, new(Quotient), s.addr},
		{"Arith.None", Args{}, new(int), s.addr},
	} {
		if err := c.Call(t.Context(), tt.method, &tt.args, tt.reply, on); node != tt.want {
			t.Errorf("%s into a %T: node %q, want %q; error %v", tt.method, tt.reply, node, tt.want, err)
		}
	}
	c.Close()
	node = "before"
	c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, nil, OnNode(&node))
	if node != "" {
		t.Errorf("after Close: %q", node)
	}
}

// TestCallsOfOneKeyGoToOneNode, and other keys to other nodes.
func TestCallsOfOneKeyGoToOneNode(t *testing.T) {
	addrs := make([]string, 3)
	for i := range addrs {
		addrs[i] = startStock(t, "").addr
	}
	c := newClient(t, Config{Policy: balancer.HashWithin(math.Inf(1))}, addrs...)
	allUp(t, c, len(addrs))
	used := map[string]bool{}
	for i := range 50 {
		key := strconv.Itoa(i)
		var first, second string
		for _, node := range []*string{&first, &second} {
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), Key(key), OnNode(node)); err != nil {
				t.Fatal(err)
			}
		}
		if first != second {
			t.Errorf("key %s: %s, then %s", key, first, second)
		}
		used[first] = true
	}
	if len(used) < 2 {
		t.Errorf("all keys are at %v", used)
	}
}
