package gobvalue

import (
	"errors"
	"fmt"
	"math"
	"reflect"
)

const (
	// maxDepth is how deep a value may be nested. encoding/gob takes some 400 bytes of
	// stack for each level and has no bound of its own for values: a message of 8 MB
	// can overflow the stack, which ends the process. encoding/json has this bound, and
	// encoding/gob for types.
	maxDepth = 10_000
	// maxDefinitions bounds the type definitions of one stream, in bytes. encoding/gob
	// keeps them as long as the stream lives. Thousands of types fit.
	maxDefinitions = 1 << 20
	// maxUnproven is how many elements a message may announce that it does not have.
	maxUnproven = 64
	maxCached   = 1 << 14
	unclaimed   = 1 << 20 // see Guard.Claim
	maxName     = 1024    // of a type, in an interface value; encoding/gob's bound
)

// The reasons for which a Guard refuses a message.
var (
	errDeep        = fmt.Errorf("gob: a value is nested more than %d deep", maxDepth)
	errCount       = errors.New("gob: a value announces more elements than its message holds")
	errDefinition  = errors.New("gob: a type definition that no encoder writes")
	errTwice       = errors.New("gob: a type is defined twice")
	errDefinitions = fmt.Errorf("gob: type definitions of more than %d bytes", maxDefinitions)
	errBuiltin     = errors.New("gob: a value of a type that no encoder sends")
	errArray       = errors.New("gob: an array too large to be looked at")
	errSkippedNil  = errors.New("gob: a nil interface value that nothing takes")
)

// errGob means that encoding/gob stops at the same place or before. The error is left
// to it.
var errGob = errors.New("encoding/gob will say what is wrong")

// Guard reads over the messages of a stream that encoding/gob is about to read, and
// refuses those that encoding/gob would not survive: values nested so deep that they
// overflow the stack, maps and slices that announce elements which never come, and values
// that take more memory than allowed. It must see every definition, and every value that
// encoding/gob reads. Not safe for concurrent use.
//
// It goes the way of encoding/gob exactly, by the sender's types and by ours: bytes that
// one of them takes for a value, the other must not take for something else.
type Guard struct {
	// Claim is asked before a value is decoded that takes so many bytes of memory. nil is
	// not asked. Values of less than a MiB are not asked for.
	Claim func(memory int) error

	plans   *Plans
	most    uint64 // bytes of memory for one value
	defined int    // bytes of definitions
	cached  int    // fields whose type of ours is remembered, see field
	shapes  map[int64]*shape
	met     map[int64]*shape // defined within the value that is checked
	loose   map[int64]bool   // see holdsInterface; nil when types have come

	// Of the value that is checked:
	b      []byte // what is left of the message
	more   func() ([]byte, error)
	depth  int
	memory uint64
}

// NewGuard is for a new stream. Each value may take most bytes of memory when it is
// decoded, roughly.
func NewGuard(p *Plans, most uint64) *Guard { return &Guard{plans: p, most: most} }

// Define takes the message of a definition, without its length, before encoding/gob
// does. On an error encoding/gob must not get it: the stream is over.
func (g *Guard) Define(message []byte) error {
	g.b = message
	id, err := g.int()
	if err != nil || id >= 0 {
		return errDefinition
	}
	if err := g.define(-id); err != nil {
		return err
	}
	if len(g.b) > 0 {
		return errDefinition
	}
	g.Keep()
	return nil
}

// define reads the definition of id.
func (g *Guard) define(id int64) error {
	if id < firstID || id > math.MaxInt32 {
		return errDefinition
	}
	if g.shapes[id] != nil {
		return errTwice
	}
	c := cursor{b: g.b}
	s := c.shape()
	if s == nil {
		return errDefinition
	}
	size := len(g.b) - len(c.b)
	if g.defined += size; g.defined > maxDefinitions {
		return errDefinitions
	}
	s.raw = append(AppendUint(make([]byte, 0, size+9), ToUint(-id)), g.b[:size]...)
	g.b = c.b
	if g.met == nil {
		g.met = make(map[int64]*shape)
	}
	g.met[id], g.loose = s, nil
	return nil
}

// Keep remembers the definitions that were met within the last value. It is called
// when encoding/gob has decoded the value.
func (g *Guard) Keep() {
	if len(g.met) == 0 {
		return
	}
	if g.shapes == nil {
		g.shapes = make(map[int64]*shape)
	}
	for id, s := range g.met {
		g.shapes[id] = s
	}
	clear(g.met)
}

// Check reads over a value, whose first message is given without its length, and which
// encoding/gob is to decode into the type, or to skip if that is nil. A value with
// interface values may go on in further messages, which more gives; nil: there are none. On
// an error encoding/gob must not get the value. A value that is only wrong is left to
// it: it stops before that costs much.
func (g *Guard) Check(message []byte, into reflect.Type, more func() ([]byte, error)) error {
	g.b, g.more, g.depth, g.memory = message, more, 0, 0
	id, err := g.int()
	if err == nil {
		err = g.whole(id, into)
	}
	if g.b, g.more = nil, nil; err != nil && err != errGob {
		return err
	}
	if g.Claim != nil && g.memory > unclaimed {
		return g.Claim(int(min(g.memory, math.MaxInt)))
	}
	return nil
}

// unseen is how many bytes of memory a value may take without a Check, if it cannot be
// nested.
func (g *Guard) unseen() uint64 {
	if g.Claim != nil {
		return min(g.most, unclaimed)
	}
	return g.most
}

// Loose reports whether a value of the sender's type id can hold interface values, or is
// of a type that is not known.
func (g *Guard) Loose(id int64) bool {
	return basic(id) == opCannot && g.shape(id) == nil || g.holdsInterface(id)
}

// Struct reports whether the sender has defined id as a struct of just these fields. A
// field of the type Strings is a []string, whose id each sender chooses.
func (g *Guard) Struct(id int64, fields ...Field) bool {
	s := g.shape(id)
	if s == nil || s.op != opStruct || len(s.fields) != len(fields) {
		return false
	}
	for i, f := range fields {
		is := &s.fields[i]
		if is.name != f.Name || int64(is.id) != f.ID && (f.ID != Strings || !g.strings(int64(is.id))) {
			return false
		}
	}
	return true
}

func (g *Guard) strings(id int64) bool {
	s := g.shape(id)
	return s != nil && s.op == opSlice && s.elem.id == int32(opString)
}

// Defined is how many bytes of definitions there were so far.
func (g *Guard) Defined() int { return g.defined }

func (g *Guard) uint() (uint64, error) {
	x, n := ReadUint(g.b)
	if n == 0 {
		return 0, errGob
	}
	g.b = g.b[n:]
	return x, nil
}

func (g *Guard) int() (int64, error) {
	x, err := g.uint()
	return ToInt(x), err
}

// bytes goes over n bytes.
func (g *Guard) bytes(n uint64) error {
	if n > uint64(len(g.b)) {
		return errGob
	}
	g.b = g.b[n:]
	return nil
}

// takes counts the memory of n parts of the given size.
func (g *Guard) takes(n uint64, size uintptr) error {
	if size > 0 && n > (math.MaxUint64-g.memory)/uint64(size) {
		g.memory = math.MaxUint64
	} else {
		g.memory += n * uint64(size)
	}
	if g.memory > g.most {
		return fmt.Errorf("gob: a value takes more than %d bytes of memory when it is decoded", g.most)
	}
	return nil
}

func (g *Guard) shape(id int64) *shape {
	if s := g.met[id]; s != nil {
		return s
	}
	return g.shapes[id]
}
