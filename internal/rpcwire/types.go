package rpcwire

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// Types is what the connections of one client, or of one server, share: what is known
// of types, and buffers. The zero value is ready.
type Types struct {
	// MaxDefinitions bounds what the type definitions of all connections take, which
	// are kept as long as the connections live, in bytes. 0: there is no bound.
	MaxDefinitions int64
	Buffers        Buffers

	plans   gobvalue.Plans
	failed  failedTypes
	defined atomic.Int64
}

const (
	freeTypes = 16 << 10 // bytes of definitions that each connection has for nothing: some hundred types
	typeCost  = 16       // bytes that are kept for one byte of a definition, about
)

// errTypes is for a connection that defines more types when others have done so, too.
var errTypes = errors.New("type definitions take more memory than there is for them")

// failedTypes remembers the types of which a value with interface values could not be
// encoded once. Nearly always there are none.
//
// What encoding/gob had written of such a value is lost, and with it the definitions
// of types that it met within interface values, which it does not write again. So a
// value of such a type is tried on an encoder of its own first, from then on: a program
// that repeats its mistake loses one connection, not one each time.
type failedTypes struct {
	some atomic.Bool
	m    sync.Map // of reflect.Type
}

func (t *failedTypes) has(v any) bool {
	if !t.some.Load() {
		return false
	}
	_, ok := t.m.Load(reflect.TypeOf(v))
	return ok
}

func (t *failedTypes) add(v any) {
	t.m.Store(reflect.TypeOf(v), true)
	t.some.Store(true)
}

// Tests: reader_test.go, writer_test.go.
