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
	// maxUnproven is how many elements a message may announce that do not come.
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

// errGob means that encoding/gob stops at the same place, at the latest: the error is
// left to it.
var errGob = errors.New("encoding/gob will say what is wrong")

// Guard reads over the messages of a stream that encoding/gob is about to read, and
// refuses those that it would not survive: values nested so deep that they overflow the
// stack, maps and slices that announce elements which never come, and values that
// take more memory than allowed. It has to see every definition and every such
// value. Not safe for concurrent use.
//
// It goes the way of encoding/gob exactly, by the sender's types and by ours: what
// one side takes for a value, the other must not take for something else.
type Guard struct {
	// Claim is asked before a value is decoded that takes so many bytes of memory; nil:
	// nobody is. What takes less than a MiB is not worth asking for.
	Claim func(memory int) error

	plans   *Plans
	most    uint64 // bytes of memory for one value
	defined int    // bytes of definitions
	cached  int    // fields whose type of ours is remembered, see field
	shapes  map[int64]*shape
	met     map[int64]*shape // within the interface values of the value that is checked
	loose   map[int64]bool   // see holdsInterface; nil when types have come

	// Of the value that is checked:
	b      []byte // what is left of the message
	more   func() ([]byte, error)
	depth  int
	memory uint64
}

// NewGuard is for a new stream, of whose values each may take so many bytes of memory
// when it is decoded, roughly.
func NewGuard(p *Plans, most int) *Guard { return &Guard{plans: p, most: uint64(most)} }

// Define takes the message of a definition, without its length, before encoding/gob
// does. On an error that must not get it: the stream is over.
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

// define reads the definition of id, and goes behind it.
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
// when encoding/gob has decoded that.
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

// Check reads over a value, whose first message is given without its length, and that
// encoding/gob is to decode into the type, or to skip if that is nil. With interface
// values, a value may go on in further messages, for which more is asked; nil: there
// are none. On an error encoding/gob must not get the value. What is only wrong is left
// to it: it stops before it costs much.
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

// unseen is how many bytes a value may take that needs no Check, if it cannot be nested.
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

// whole goes over a value as it stands at the top, or within an interface value: if it
// is no struct, a zero comes first.
func (g *Guard) whole(id int64, into reflect.Type) error {
	if id > int64(lastBasic) && id < firstID {
		return errBuiltin
	}
	if s := g.shape(id); s == nil || s.op != opStruct {
		if zero, err := g.uint(); err != nil || zero != 0 {
			return errGob
		}
	}
	return g.value(id, into)
}

// value goes over a value of the sender's type id, to be decoded into ours, or skipped
// if that is nil.
func (g *Guard) value(id int64, into reflect.Type) error {
	for i := 0; into != nil && into.Kind() == reflect.Pointer; i++ {
		if into = into.Elem(); i > 100 { // a pointer to itself
			return errGob
		}
		if err := g.takes(1, into.Size()); err != nil {
			return err
		}
	}
	switch basic(id) {
	case opBool, opInt, opUint, opFloat:
		_, err := g.uint()
		return err
	case opComplex:
		if _, err := g.uint(); err != nil {
			return err
		}
		_, err := g.uint()
		return err
	case opBytes, opString:
		return g.text()
	}
	if g.depth++; g.depth > maxDepth {
		return errDeep
	}
	defer func() { g.depth-- }()
	if id == int64(opInterface) {
		if into == nil {
			return g.skipInterface()
		}
		return g.interfaceValue(into)
	}
	s := g.shape(id)
	if s == nil {
		if id > 0 && id < firstID {
			return errBuiltin
		}
		return errGob
	}
	return g.composite(s, into)
}

// basic is what a type id stands for that needs no definition.
func basic(id int64) op {
	if id <= 0 || id > int64(lastBasic) {
		return opCannot
	}
	return op(id)
}

// text goes over a string or bytes.
func (g *Guard) text() error {
	n, err := g.uint()
	if err != nil {
		return err
	}
	if err := g.bytes(n); err != nil {
		return err
	}
	return g.takes(n, 1)
}

// composite goes over a value whose type the sender has defined. Where ours is of
// another kind, encoding/gob finds out before it reads anything.
func (g *Guard) composite(s *shape, into reflect.Type) error {
	kind := reflect.Invalid
	if into != nil {
		kind = into.Kind()
	}
	switch s.op {
	case opCoded:
		return g.text()
	case opStruct:
		if into != nil && kind != reflect.Struct {
			return errGob
		}
		return g.fields(s, into)
	case opArray:
		n, err := g.uint()
		if err != nil || n != s.len {
			return errGob
		}
		return g.elems(s, n, into, kind == reflect.Array)
	case opSlice:
		n, err := g.uint()
		if err != nil {
			return err
		}
		return g.elems(s, n, into, kind == reflect.Slice)
	default: // opMap
		n, err := g.uint()
		if err != nil {
			return err
		}
		if into == nil {
			return g.entries(s, n, nil, nil)
		}
		if kind != reflect.Map {
			return errGob
		}
		return g.entries(s, n, into.Key(), into.Elem())
	}
}

// fields goes over a struct. Without its end it is whole at the end of its message.
func (g *Guard) fields(s *shape, into reflect.Type) error {
	at := -1
	for len(g.b) > 0 {
		delta, err := g.uint()
		if err != nil || delta == 0 {
			return err
		}
		if delta > uint64(len(s.fields)-1-at) {
			return errGob
		}
		at += int(delta)
		if err := g.value(int64(s.fields[at].id), g.field(s, at, into)); err != nil {
			return err
		}
	}
	return nil
}

// field is what encoding/gob decodes a field of s into; nil: it is skipped.
func (g *Guard) field(s *shape, at int, into reflect.Type) reflect.Type {
	if into == nil {
		return nil
	}
	ours := s.into[into]
	if ours == nil {
		if g.cached += len(s.fields); g.cached > maxCached {
			return s.fields[at].of(into)
		}
		ours = make([]reflect.Type, len(s.fields))
		for i := range s.fields {
			ours[i] = s.fields[i].of(into)
		}
		if s.into == nil {
			s.into = make(map[reflect.Type][]reflect.Type)
		}
		s.into[into] = ours
	}
	return ours[at]
}

// of is the type of our struct's field of that name.
func (w *wireField) of(into reflect.Type) reflect.Type {
	if f, ok := into.FieldByName(w.name); ok && exported(w.name) {
		return f.Type
	}
	return nil
}

// elems goes over n elements. Each takes a byte at least, so that a count beyond the
// bytes left is wrong, unless there are interfaces within, which may go on in the
// next message.
func (g *Guard) elems(s *shape, n uint64, into reflect.Type, fits bool) error {
	var elem reflect.Type
	if into != nil {
		if !fits {
			return errGob
		}
		elem = into.Elem()
		if s.op == opSlice {
			if err := g.takes(n, elem.Size()); err != nil {
				return err
			}
		}
	}
	id := int64(s.elem.id)
	if n > uint64(len(g.b)) && !(n < math.MaxInt32 && g.holdsInterface(id)) {
		return errCount
	}
	for left := n; left > 0; left-- {
		err := errGob // so says encoding/gob of an element that is not there
		if len(g.b) > 0 {
			err = g.value(id, elem)
		}
		if err != nil {
			return unproven(err, left)
		}
	}
	return nil
}

// entries goes over n entries of a map, for which encoding/gob makes room at once.
func (g *Guard) entries(s *shape, n uint64, key, elem reflect.Type) error {
	if key != nil {
		if err := g.takes(n, key.Size()+elem.Size()+8); err != nil {
			return err
		}
	}
	keyID, elemID := int64(s.key.id), int64(s.elem.id)
	if n > uint64(len(g.b)/2) && !(n < math.MaxInt32 && (g.holdsInterface(keyID) || g.holdsInterface(elemID))) {
		return errCount
	}
	for left := n; left > 0; left-- {
		if len(g.b) == 0 {
			return errCount // and encoding/gob would count on, if nothing is all a value needs
		}
		err := g.value(keyID, key)
		if err == nil {
			err = g.value(elemID, elem)
		}
		if err != nil {
			return unproven(err, left)
		}
	}
	return nil
}

// unproven is the error of a value of which left elements were announced and not seen:
// encoding/gob may have made room for them.
func unproven(err error, left uint64) error {
	if err == errGob && left > maxUnproven {
		return errCount
	}
	return err
}

// holdsInterface reports whether a value of the sender's type id can hold interface
// values, as far as that is known.
func (g *Guard) holdsInterface(id int64) bool {
	known, ok := g.loose[id]
	if !ok {
		if g.loose == nil {
			g.loose = make(map[int64]bool)
		}
		known = g.findInterface(id, make(map[int64]bool))
		g.loose[id] = known
	}
	return known
}

func (g *Guard) findInterface(id int64, seen map[int64]bool) bool {
	s := g.shape(id)
	if id == int64(opInterface) || s == nil || seen[id] {
		return id == int64(opInterface)
	}
	seen[id] = true
	for part := range s.parts() {
		if g.findInterface(int64(part.id), seen) {
			return true
		}
	}
	return false
}
