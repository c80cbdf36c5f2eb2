package testenv

import (
	"errors"
	"sync/atomic"
	"time"
)

// Args are the operands of Arith's methods.
type Args struct{ A, B int }

// Quotient is the result of Arith.Divide.
type Quotient struct{ Quo, Rem int }

// ErrDivideByZero is the error of Arith.Divide for a divisor of 0.
var ErrDivideByZero = errors.New("divide by zero")

// Arith is the service of the nodes: the one in the documentation of net/rpc,
// and two methods for tests. Its methods are safe for concurrent use.
type Arith struct {
	// Name is the reply of method Who.
	Name  string
	calls atomic.Int64
}

// Calls is how many calls were executed.
func (a *Arith) Calls() int64 { return a.calls.Load() }

// Multiply sets reply to A*B.
func (a *Arith) Multiply(args *Args, reply *int) error {
	a.calls.Add(1)
	*reply = args.A * args.B
	return nil
}

// Divide sets quo to A/B and its remainder.
func (a *Arith) Divide(args *Args, quo *Quotient) error {
	a.calls.Add(1)
	if args.B == 0 {
		return ErrDivideByZero
	}
	quo.Quo, quo.Rem = args.A/args.B, args.A%args.B
	return nil
}

// Who replies with the name of the node.
func (a *Arith) Who(_ *Args, name *string) error {
	a.calls.Add(1)
	*name = a.Name
	return nil
}

// Sleep answers after A milliseconds.
func (a *Arith) Sleep(args *Args, reply *int) error {
	a.calls.Add(1)
	time.Sleep(time.Duration(args.A) * time.Millisecond)
	*reply = args.A
	return nil
}

// Tests: instances_test.go, node_test.go.
