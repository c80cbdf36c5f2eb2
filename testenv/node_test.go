package testenv

import (
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcclient"
)

// Echo is a service of a user of testenv.
type Echo struct{ node int }

// Node replies with the number of its node.
func (e *Echo) Node(_ int, reply *int) error {
	*reply = e.node
	return nil
}

func TestReceiversOfOnesOwnAreServedUnderFaults(t *testing.T) {
	for _, stock := range []bool{false, true} {
		env := New(t, Setup{Nodes: 2, Stock: stock, Receivers: func(i int) []any { return []any{&Echo{i}} }})
		c := env.Client(&impatient)
		env.Fault(0, Hang)
		for range 10 {
			if n, err := rpcclient.Invoke[int](t.Context(), c, "Echo.Node", 0, rpcclient.Idempotent()); err != nil || n != 1 {
				t.Errorf("stock %v: answered by %d, %v", stock, n, err)
			}
		}
	}
}

func TestStockServerRegisteredByOneRequest(t *testing.T) {
	env := New(t, Setup{Nodes: 2, Stock: true})
	c := env.Client(nil)
	load := startLoad(t, c, 2)
	load.awaitCalls(t, 100)
	load.finish(t)
	var q Quotient
	err := c.Call(t.Context(), "Arith.Divide", &Args{A: 1, B: 0}, &q)
	var answered rpc.ServerError
	if !errors.As(err, &answered) || answered.Error() != ErrDivideByZero.Error() {
		t.Errorf("divide by zero: got %v", err)
	}
}

// mistaken is a test that keeps the text of its failure.
type mistaken struct {
	testing.TB
	said string
}

func (m *mistaken) Fatalf(format string, args ...any) {
	m.said = fmt.Sprintf(format, args...)
	panic(m)
}

func TestMistakesOfATestAreNamed(t *testing.T) {
	for want, mistake := range map[string]func(testing.TB){
		"there is no node 9; 1 were started":    func(t testing.TB) { New(t, Setup{Nodes: 1}).Fault(9, Kill) },
		"there is no node -1; 1 were started":   func(t testing.TB) { New(t, Setup{Nodes: 1}).Node(-1) },
		`service "math": has no protocol`:       func(t testing.TB) { New(t, Setup{Nodes: 1, Stock: true, Service: "math"}) },
		`service \"_Math._tcp\": must be lower`: func(t testing.TB) { New(t, Setup{Nodes: 1, Service: "_Math._tcp"}) },
		"node 0 is not killed":                  func(t testing.TB) { New(t, Setup{Nodes: 1}).Restart(0) },
	} {
		m := &mistaken{TB: t}
		func() {
			defer func() {
				if p := recover(); p != nil && p != any(m) {
					panic(p)
				}
			}()
			mistake(m)
		}()
		if !strings.Contains(m.said, want) {
			t.Errorf("%q does not say %s", m.said, want)
		}
	}
}
