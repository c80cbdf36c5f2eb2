package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// services has the methods that can be called. A lookup takes one map read. Registration
// copies the map, because it happens before serving, or rarely.
type services struct {
	mu      sync.Mutex          // serialises writers; guards names
	names   map[string]struct{} // of services
	methods atomic.Pointer[map[string]*method]
}

// method is one callable method, "Arith.Multiply".
type method struct {
	name     string
	fn       reflect.Value                                    // takes receiver, context if the form has one, argument, reply
	direct   func(ctx context.Context, args, reply any) error // in place of fn: see Handle
	form     form
	rcvr     reflect.Value
	arg      reflect.Type // what to allocate: never a pointer
	argPtr   bool         // the method takes a pointer to it
	reply    reflect.Type // what the reply points to
	pool     sync.Pool    // of *call
	calls    atomic.Uint64
	failures atomic.Uint64 // error returned, or panic
	faults   pace          // of the log
}

// form is one of the two forms of a method.
type form int

const (
	plain       form = iota // func (T) Name(args A, reply *R) error
	withContext             // func (T) Name(ctx context.Context, args A, reply *R) error
)

// How reflection spells these types.
var (
	errorType   = reflect.TypeFor[error]()
	contextType = reflect.TypeFor[context.Context]()
)

// find looks a method up by its wire name without keeping or copying name.
func (t *services) find(name []byte) *method {
	m := t.methods.Load()
	if m == nil {
		return nil
	}
	return (*m)[string(name)] // the compiler does not allocate for this conversion
}

// has reports whether a receiver has this name.
func (t *services) has(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.names[name]
	return ok
}

// missing is the error for a client that asked for a method that does not exist: the texts
// of net/rpc, by which clients know that nothing was executed.
func (t *services) missing(name string) string {
	dot := strings.LastIndex(name, ".")
	if dot < 0 {
		return "rpc: service/method request ill-formed: " + name
	}
	t.mu.Lock()
	_, known := t.names[name[:dot]]
	t.mu.Unlock()
	if !known {
		return "rpc: can't find service " + name
	}
	return "rpc: can't find method " + name
}

// register publishes the methods of rcvr under name, or the name of its type.
// The rules are those of net/rpc.
func (t *services) register(name string, rcvr any) error {
	typ := reflect.TypeOf(rcvr)
	if typ == nil {
		return errors.New("rpcserver: register nil: pass a value with exported methods")
	}
	val := reflect.ValueOf(rcvr)
	if name == "" {
		name = reflect.Indirect(val).Type().Name()
		if name == "" {
			return fmt.Errorf("rpcserver: register %s: the type has no name: use RegisterName", typ)
		}
		if !token.IsExported(name) {
			return fmt.Errorf("rpcserver: register %s: type %s is not exported: use RegisterName", typ, name)
		}
	}
	found, why := suitable(name, val)
	if len(found) == 0 {
		hint := ""
		if typ.Kind() != reflect.Pointer {
			if byPtr, _ := suitable(name, reflect.New(typ)); len(byPtr) > 0 {
				hint = " (pass a pointer to it)"
			}
		}
		for _, w := range why {
			hint += "; " + w
		}
		return fmt.Errorf("rpcserver: register %s: no method of the form func (T) Name(args A, reply *R) error, nor with a context.Context before args%s", name, hint)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, dup := t.names[name]; dup {
		return fmt.Errorf("rpcserver: register %s: already registered", name)
	}
	t.publishLocked(name, found...)
	return nil
}

// publishLocked adds methods of a service.
func (t *services) publishLocked(service string, more ...*method) {
	if t.names == nil {
		t.names = map[string]struct{}{}
	}
	t.names[service] = struct{}{}
	all := map[string]*method{}
	if old := t.methods.Load(); old != nil {
		maps.Copy(all, *old)
	}
	for _, m := range more {
		all[m.name] = m
	}
	t.methods.Store(&all)
}

// sorted lists the methods by name.
func (t *services) sorted() []*method {
	m := t.methods.Load()
	if m == nil {
		return nil
	}
	return slices.SortedFunc(maps.Values(*m), func(a, b *method) int { return strings.Compare(a.name, b.name) })
}

// suitable gives the methods that can be called, and for each other exported method why
// it cannot.
func suitable(service string, rcvr reflect.Value) (found []*method, why []string) {
	typ := rcvr.Type()
	for i := range typ.NumMethod() {
		m := typ.Method(i)
		if !m.IsExported() {
			continue
		}
		mt := m.Type
		// The parameters before the argument: the receiver, and perhaps a context.
		form, before := plain, 1
		if mt.NumIn() > 1 && mt.In(1) == contextType {
			form, before = withContext, 2
		}
		reject := func(format string, args ...any) {
			why = append(why, m.Name+" "+fmt.Sprintf(format, args...))
		}
		switch {
		case mt.NumIn() != before+2 && form == withContext:
			reject("has %d parameters after the context, not 2", mt.NumIn()-2)
		case mt.NumIn() != before+2:
			reject("has %d parameters, not 2", mt.NumIn()-1)
		case !exportedOrBuiltin(mt.In(before)):
			reject("takes the unexported type %s", mt.In(before))
		case mt.In(before+1).Kind() != reflect.Pointer:
			reject("has a reply that is no pointer: %s", mt.In(before+1))
		case !exportedOrBuiltin(mt.In(before + 1)):
			reject("has a reply of the unexported type %s", mt.In(before+1))
		case mt.NumOut() != 1 || mt.Out(0) != errorType:
			reject("does not return error alone")
		default:
			sm := &method{name: service + "." + m.Name, fn: m.Func, form: form, rcvr: rcvr, arg: mt.In(before), reply: mt.In(before + 1).Elem()}
			if sm.arg.Kind() == reflect.Pointer {
				sm.arg, sm.argPtr = sm.arg.Elem(), true
			}
			found = append(found, sm)
		}
	}
	return found, why
}

func exportedOrBuiltin(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return token.IsExported(t.Name()) || t.PkgPath() == ""
}

// newReply is the value that a method writes its reply to. Maps and slices are made, so
// that an empty reply is not nil, as in net/rpc.
func (m *method) newReply() reflect.Value {
	v := reflect.New(m.reply)
	switch m.reply.Kind() {
	case reflect.Map:
		v.Elem().Set(reflect.MakeMap(m.reply))
	case reflect.Slice:
		v.Elem().Set(reflect.MakeSlice(m.reply, 0, 0))
	}
	return v
}
