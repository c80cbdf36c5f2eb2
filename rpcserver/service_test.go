package rpcserver

import (
	"errors"
	"net/rpc"
	"reflect"
	"strings"
	"testing"
)

type Good struct{}

func (Good) ByValue(int, *string) error     { return nil }
func (Good) ByPointer(*int, *string) error  { return nil }
func (*Good) OnPointer(int, *[]int) error   { return nil }
func (Good) unexported(int, *string) error  { return nil }
func (Good) NoPointer(int, string) error    { return nil }
func (Good) NoError(int, *string)           {}
func (Good) OneArgument(*string) error      { return nil }
func (Good) Three(int, int, *string) error  { return nil }
func (Good) Variadic(int, ...*string) error { return nil }
func (Good) Hidden(hidden, *string) error   { return nil }
func (Good) HiddenReply(int, *hidden) error { return nil }
func (Good) NotErr(int, *string) string     { return "" }

type hidden struct{}

func (hidden) Call(int, *string) error { return nil }

type PointerOnly struct{}

func (*PointerOnly) Call(int, *string) error { return nil }

type Bare struct{}

func TestRegisterTakesWhatNetRPCTakes(t *testing.T) {
	Good{}.unexported(0, nil)
	local := struct{ Good }{}
	cases := map[string]struct {
		name string
		rcvr any
	}{
		"value":                {"", Good{}},
		"pointer":              {"", &Good{}},
		"unexported type":      {"", hidden{}},
		"its name given":       {"Shown", hidden{}},
		"pointer needed":       {"", PointerOnly{}},
		"pointer needed named": {"P", PointerOnly{}},
		"no methods":           {"", Bare{}},
		"unnamed type":         {"", local},
		"unnamed type named":   {"Local", local},
		"name with dots":       {"math.v1.Arith", Good{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			theirs := rpc.NewServer()
			var want error
			if c.name == "" {
				want = theirs.Register(c.rcvr)
			} else {
				want = theirs.RegisterName(c.name, c.rcvr)
			}
			var ours services
			got := ours.register(c.name, c.rcvr)
			if (got == nil) != (want == nil) {
				t.Fatalf("got %v, net/rpc says %v", got, want)
			}
		})
	}
}

func TestRegisterFindsTheMethodsThatNetRPCFinds(t *testing.T) {
	var s services
	if err := s.register("", &Good{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.sorted() {
		got = append(got, m.name)
	}
	if want := "Good.ByPointer Good.ByValue Good.OnPointer"; strings.Join(got, " ") != want {
		t.Fatalf("got %v, want %s", got, want)
	}
}

func TestRegisterErrorsSayWhy(t *testing.T) {
	cases := []struct {
		rcvr any
		want string
	}{
		{nil, "register nil"},
		{hidden{}, "not exported: use RegisterName"},
		{PointerOnly{}, "pass a pointer to it"},
		{struct{ Good }{}, "no name: use RegisterName"},
		{errors.New("x"), "not exported"},
	}
	for _, c := range cases {
		var s services
		if err := s.register("", c.rcvr); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: got %v, want %q", c.rcvr, err, c.want)
		}
	}
	var s services
	s.register("", Good{})
	if err := s.register("", Good{}); err == nil || !strings.Contains(err.Error(), "already registered") {
		t.Errorf("twice: %v", err)
	}
	_, why := suitable("Good", reflect.ValueOf(Good{}))
	for _, want := range []string{"NoPointer has a reply that is no pointer", "OneArgument has 1 parameters, not 2", "NotErr does not return error", "Hidden takes the unexported type"} {
		if !strings.Contains(strings.Join(why, "; "), want) {
			t.Errorf("%q is missing in %q", want, why)
		}
	}
}

func TestMissingUsesTheWordsOfNetRPC(t *testing.T) {
	var s services
	s.register("a.b", Good{})
	for in, want := range map[string]string{
		"":         "rpc: service/method request ill-formed: ",
		"nodot":    "rpc: service/method request ill-formed: nodot",
		"X.Y":      "rpc: can't find service X.Y",
		"a.b.Nope": "rpc: can't find method a.b.Nope",
	} {
		if got := s.missing(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestReservedNamesAreRefused: a method _rollcall.Ping would answer the pings.
func TestReservedNamesAreRefused(t *testing.T) {
	s := New(Config{})
	for name, bad := range map[string]bool{"_rollcall": true, "_rollcall.v2": true, "": true, "rollcall": false, "_rollcaller": false} {
		err := s.RegisterName(name, Good{})
		if (err != nil) != bad || bad && name != "" && !strings.Contains(err.Error(), "reserved") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
