package rpcserver_test

import (
	"context"
	"encoding/gob"
	"fmt"
	"net/rpc"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Boxes is a service of interface values.
type Boxes struct{}

// Box holds two interface values.
type Box struct{ A, B any }

// Known is registered with encoding/gob, Unregistered is not.
type (
	Known        struct{ N int }
	Unregistered struct{ N int }
)

// Get has a reply that can be encoded if good is true.
func (Boxes) Get(good bool, out *Box) error {
	if *out = (Box{A: Known{7}}); !good {
		out.B = Unregistered{1}
	}
	return nil
}

// Take has a Box as its argument.
func (Boxes) Take(_ Box, out *int) error {
	*out = 1
	return nil
}

// Plain replies without interface values.
func (Boxes) Plain(in int, out *int) error {
	*out = in
	return nil
}

// TestReplyWithInterfacesThatCannotBeEncoded: the client never sees types that the reply
// began to define. It is told so, call by call, until it replaces the connection.
func TestReplyWithInterfacesThatCannotBeEncoded(t *testing.T) {
	gob.Register(Known{})
	_, addr := serve(t, rpcserver.Config{}, Boxes{})
	stock := dial(t, addr)
	wantError(t, stock.Call("Boxes.Get", false, new(Box)), "not registered")
	wantError(t, stock.Call("Boxes.Get", true, new(Box)), "connect again")
	var n int
	if err := stock.Call("Boxes.Plain", 5, &n); err != nil || n != 5 {
		t.Errorf("a call without interface values: %d, %v", n, err)
	}
	again := dial(t, addr)
	wantError(t, again.Call("Boxes.Get", false, new(Box)), "not registered") // the type is known to fail by now
	var box Box
	if err := again.Call("Boxes.Get", true, &box); err != nil || box.A != any(Known{7}) {
		t.Errorf("after a failure that was foreseen: %v, %v", box, err)
	}
}

// TestClientIsSentToAnotherConnectionWithSuchAReply. Requests that it had sent before may be
// answered with "connect again".
func TestClientIsSentToAnotherConnectionWithSuchAReply(t *testing.T) {
	gob.Register(Known{})
	_, addr := serve(t, rpcserver.Config{}, Boxes{})
	c, err := rpcclient.New("_boxes._tcp.svc", &rpcclient.Config{Source: resolver.Static(addr)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantError(t, c.Call(context.Background(), "Boxes.Get", false, new(Box)), "not registered")
	for range 20 {
		if box, err := rpcclient.Invoke[Box](context.Background(), c, "Boxes.Get", true); err != nil && !strings.Contains(err.Error(), "connect again") {
			t.Fatal(box, err)
		} else if err == nil && box.A != any(Known{7}) {
			t.Fatal(box)
		}
	}
}

// TestArgumentsWithInterfacesThatNobodyTakes get their answer, and no other request is
// taken for a part of them.
func TestArgumentsWithInterfacesThatNobodyTakes(t *testing.T) {
	gob.Register(Known{})
	for name, args := range map[string]any{
		"nil":               []any{nil},
		"nil in a map":      map[string]any{"x": nil},
		"first of its type": []any{Known{1}, nil},
		"a struct":          Box{A: Known{1}},
	} {
		for _, method := range []string{"Boxes.Nothing", "Boxes.Plain"} {
			t.Run(name+" to "+method+" alone", func(t *testing.T) {
				_, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{FrameTimeout: time.Hour}}, Boxes{})
				if err := dial(t, addr).Call(method, args, new(int)); err == nil || strings.Contains(err.Error(), "EOF") {
					t.Errorf("answered with %v", err)
				}
			})
			t.Run(name+" to "+method, func(t *testing.T) {
				_, addr := serve(t, rpcserver.Config{}, Boxes{})
				c := dial(t, addr)
				bad := c.Go(method, args, new(int), make(chan *rpc.Call, 1))
				var n int
				next := c.Go("Boxes.Plain", 5, &n, make(chan *rpc.Call, 1))
				if err := (<-bad.Done).Error; err == nil || strings.Contains(err.Error(), "EOF") {
					t.Errorf("answered with %v", err)
				}
				// The connection may be closed after it, but every request must end.
				if err := (<-next.Done).Error; err == nil && n != 5 || err != nil && !strings.Contains(err.Error(), "EOF") && err != rpc.ErrShutdown {
					t.Errorf("the next call: %d, %v", n, err)
				}
			})
		}
	}
}

// TestMisfitWithALargeDefinitionIsThatCallsProblem, though only encoding/gob looks at its
// type.
func TestMisfitWithALargeDefinitionIsThatCallsProblem(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{}, Boxes{})
	c := dial(t, addr)
	fields := make([]reflect.StructField, 2500)
	for i := range fields {
		fields[i] = reflect.StructField{Name: fmt.Sprint("Field", i), Type: reflect.TypeFor[int]()}
	}
	large := reflect.New(reflect.StructOf(fields))
	large.Elem().Field(7).SetInt(1)
	var n int
	wantError(t, c.Call("Boxes.Plain", large.Interface(), &n), "gob: ")
	if err := c.Call("Boxes.Plain", 5, &n); err != nil || n != 5 {
		t.Errorf("the next call: %d, %v", n, err)
	}
}

// Several is registered, too.
type Several []any

// TestTypeFirstMetWithinAnInterfaceValue: only encoding/gob and the guard know it, because
// its definition came within a value.
func TestTypeFirstMetWithinAnInterfaceValue(t *testing.T) {
	gob.Register(Several{})
	_, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{FrameTimeout: time.Hour}}, Boxes{})
	c := dial(t, addr)
	if err := c.Call("Boxes.Take", Box{A: Several{1}}, new(int)); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.Call("Boxes.Nothing", Several{nil}, new(int)), "can't find method")
}
