package gobvalue

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"time"
)

// The types of the tests.
type (
	flag   bool
	small  int8
	word   string
	blob   []byte
	octet  uint8
	octets []octet
	words  []word
	attrs  map[string]string

	empty struct{}

	basics struct {
		B     bool
		I     int
		I8    int8
		I16   int16
		I32   int32
		I64   int64
		U     uint
		U8    uint8
		U16   uint16
		U32   uint32
		U64   uint64
		P     uintptr
		F32   float32
		F64   float64
		C64   complex64
		C128  complex128
		S     string
		Bytes []byte
	}

	named struct {
		F flag
		S small
		W word
		B blob
		O octet
		Q octets
		L words
		A attrs
	}

	// Inner is exported, so that it is sent where it is embedded.
	Inner struct {
		X, Y int
		Name string
	}

	hidden struct{ Z int }

	embeds struct {
		Inner
		hidden
		*Outer
		own  int
		Pub  string
		Done chan int
		Do   func()
		Ptr  *func()
	}

	Outer struct {
		Inner *Inner
		Deep  **Inner
	}

	lists struct {
		Ints     []int
		Int16s   []int16
		Int32s   []int32
		Int64s   []int64
		Uints    []uint
		Uint16s  []uint16
		Uint32s  []uint32
		Uint64s  []uint64
		Float32s []float32
		Float64s []float64
		Strings  []string
		Bools    []bool
		Int8s    []int8
		Blobs    [][]byte
		Inners   []Inner
		Ptrs     []*Inner
		Nested   [][][]string
		Arrays   [][2]int
		Empties  []empty
		Maps     []map[string]int
	}

	arrays struct {
		Hash  [16]byte
		Octs  [3]octet
		None  [0]int
		Pair  [2]Inner
		Grid  [2][2]float64
		Words [2][]string
	}

	maps struct {
		Attrs  map[string]string
		Counts map[int]uint64
		Inner  map[string]Inner
		Ref    map[string]*Inner
		Lists  map[word][]int
		Deep   map[string]map[string]int
		Keys   map[[2]int]bool
		Struct map[Inner]string
	}

	request struct {
		Seq  int
		Data []byte
		Name string
	}

	// wider and narrower are other versions of request.
	wider struct {
		Name   string
		Extra  []map[string]Inner
		When   time.Time
		Data   []byte
		Fixed  [3]int16
		C      complex64
		Seq    int64
		Blobs  [][]byte
		Unsent hidden2
	}
	hidden2 struct{ A, B float64 }

	narrower struct {
		Seq int8
		Own string
	}

	recursive struct {
		Name string
		Next *recursive
	}
	tree  map[string]tree
	timed struct {
		Name string
		At   time.Time
	}
	boxed struct {
		Name string
		V    any
	}
	private struct{ a int }
	selfPtr *selfPtr
	text    struct{ S string }
	holder  struct{ T []text }
)

func (text) MarshalText() ([]byte, error) { return []byte("text"), nil }

// done are types that Encoder and Decoder know, undone those that neither knows.
var (
	done = []reflect.Type{
		reflect.TypeFor[basics](), reflect.TypeFor[named](), reflect.TypeOf(embeds{own: 1}), reflect.TypeFor[lists](),
		reflect.TypeFor[arrays](), reflect.TypeFor[maps](), reflect.TypeFor[request](), reflect.TypeFor[narrower](),
		reflect.TypeFor[empty](), reflect.TypeFor[Inner](), reflect.TypeFor[Outer](), reflect.TypeFor[hidden2](),
		reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[uint16](), reflect.TypeFor[float32](),
		reflect.TypeFor[complex128](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[blob](),
		reflect.TypeFor[[]string](), reflect.TypeFor[words](), reflect.TypeFor[[4]int](), reflect.TypeFor[[8]byte](),
		reflect.TypeFor[map[string]string](), reflect.TypeFor[map[int][]Inner](), reflect.TypeFor[[]*request](),
		reflect.TypeFor[*int](), reflect.TypeFor[**request](),
	}
	undone = []reflect.Type{
		reflect.TypeFor[recursive](), reflect.TypeFor[tree](), reflect.TypeFor[timed](), reflect.TypeFor[boxed](),
		reflect.TypeOf(private{a: 1}), reflect.TypeFor[text](), reflect.TypeFor[holder](), reflect.TypeFor[time.Time](),
		reflect.TypeFor[[]any](), reflect.TypeFor[map[string]time.Time](), reflect.TypeFor[chan int](), reflect.TypeFor[func()](),
		reflect.TypeFor[selfPtr](), reflect.TypeFor[*time.Time](), reflect.TypeFor[struct{ P *private }](),
	}
)

var (
	ints    = []int64{0, 0, 1, -1, 63, 64, -64, -65, 127, -128, 128, 255, 32767, -32768, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}
	floats  = []float64{0, 0, 1, -1, 0.1, 17, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat32, math.MaxFloat64, math.SmallestNonzeroFloat64}
	lengths = []int{0, 0, 1, 2, 3, 5, 127, 128, 300}
)

// filler makes values: the same ones from the same seed.
type filler struct {
	*rand.Rand
	nils bool // also where encoding/gob cannot send them
	deep *int // how far down we are
}

func newFiller(seed uint64, nils bool) filler {
	return filler{rand.New(rand.NewPCG(seed, 1)), nils, new(int)}
}

func pick[T any](f filler, from []T) T { return from[f.IntN(len(from))] }

func (f filler) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(f.Uint32())
	}
	return b
}

// fill sets all fields of v that can be set. Pointers may be nil where that can be sent.
func (f filler) fill(v reflect.Value, nilable bool) {
	if !v.CanSet() || *f.deep > 12 {
		return
	}
	*f.deep++
	defer func() { *f.deep-- }()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(pick(f, ints))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(uint64(pick(f, ints)))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(pick(f, floats))
	case reflect.Complex64, reflect.Complex128:
		v.SetComplex(complex(pick(f, floats), pick(f, floats)))
	case reflect.String:
		v.SetString(string(f.bytes(pick(f, lengths))))
	case reflect.Slice:
		n := pick(f, lengths[:6])
		if v.Type().Elem().Kind() == reflect.Uint8 {
			n = pick(f, lengths)
		}
		if n == 0 && f.IntN(2) == 0 {
			v.SetZero()
			return
		}
		more := f.IntN(4) // and what is in there may be seen by the next decoding
		v.Set(reflect.MakeSlice(v.Type(), n+more, n+more))
		f.elems(v)
		v.SetLen(n)
	case reflect.Array:
		f.elems(v)
	case reflect.Map:
		n := pick(f, lengths[:6])
		if n == 0 && f.IntN(2) == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key, f.nils)
			f.fill(elem, f.nils)
			v.SetMapIndex(key, elem)
		}
	case reflect.Pointer:
		if v.SetZero(); !nilable || f.IntN(3) > 0 {
			elem := reflect.New(v.Type().Elem())
			f.fill(elem.Elem(), nilable)
			if elem.Type().AssignableTo(v.Type()) {
				v.Set(elem)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.Array || f.IntN(4) > 0 {
				f.fill(v.Field(i), true)
			}
		}
	}
}

func (f filler) elems(v reflect.Value) {
	for i := range v.Len() {
		f.fill(v.Index(i), f.nils)
	}
}

// made is a pointer to a value of rt.
func made(rt reflect.Type, seed uint64, nils bool) reflect.Value {
	v := reflect.New(rt)
	newFiller(seed, nils).fill(v.Elem(), nils)
	return v
}

// differs says where two values differ. It is reflect.DeepEqual, but NaNs are equal.
func differs(a, b reflect.Value) string {
	if a.Kind() != b.Kind() || a.Type() != b.Type() {
		return fmt.Sprintf(": %v is no %v", a.Kind(), b.Kind())
	}
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		if math.Float64bits(a.Float()) != math.Float64bits(b.Float()) {
			return fmt.Sprintf(": %v is not %v", a, b)
		}
	case reflect.Complex64, reflect.Complex128:
		if fmt.Sprint(a.Complex()) != fmt.Sprint(b.Complex()) {
			return fmt.Sprintf(": %v is not %v", a, b)
		}
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() != b.IsNil() {
			return ": one is nil"
		} else if !a.IsNil() {
			return differs(a.Elem(), b.Elem())
		}
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() || a.Kind() == reflect.Slice && a.IsNil() != b.IsNil() {
			return fmt.Sprintf(": length %d is not %d", a.Len(), b.Len())
		}
		for i := range a.Len() {
			if s := differs(a.Index(i), b.Index(i)); s != "" {
				return fmt.Sprintf("[%d]%s", i, s)
			}
		}
	case reflect.Map:
		if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
			return fmt.Sprintf(": %d entries, not %d", a.Len(), b.Len())
		}
		for _, key := range a.MapKeys() {
			x, y := a.MapIndex(key), b.MapIndex(key)
			if !x.IsValid() || key.Kind() == reflect.Pointer { // NaN, or a pointer of its own
				continue
			} else if !y.IsValid() {
				return fmt.Sprintf("[%v] is missing", key)
			} else if s := differs(x, y); s != "" {
				return fmt.Sprintf("[%v]%s", key, s)
			}
		}
	case reflect.Struct:
		for i := range a.NumField() {
			if s := differs(a.Field(i), b.Field(i)); s != "" {
				return "." + a.Type().Field(i).Name + s
			}
		}
	case reflect.Chan, reflect.Func:
	default:
		if !a.Equal(b) {
			return fmt.Sprintf(": %v is not %v", a, b)
		}
	}
	return ""
}
