// Package gobtype makes Go types from their description, so that a value of JSON can be
// sent to a server that speaks gob. Such a server decodes into a type that this program
// does not have. But gob compares fields by name and kind, not by the name of the type, so
// a type of the same shape is enough: "struct{A, B int}".
//
// What gob cannot do without the program's own code cannot be described: interfaces, whose
// values carry the name of a registered type, types with an encoding of their own, but for
// time.Time, and types that contain themselves.
package gobtype

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"time"
)

const (
	maxText = 4 << 10 // octets of a description
	// maxSize bounds a value before its slices and maps: arrays could be of any size.
	maxSize = 1 << 20
	// maxDepth bounds how deep types and values are nested.
	maxDepth = 50
)

var basic = map[string]reflect.Type{
	"bool": reflect.TypeFor[bool](), "string": reflect.TypeFor[string](),
	"int":  reflect.TypeFor[int64](), // gob sends all of one sign alike
	"int8": reflect.TypeFor[int8](), "int16": reflect.TypeFor[int16](), "int32": reflect.TypeFor[int32](), "int64": reflect.TypeFor[int64](), "rune": reflect.TypeFor[int32](),
	"uint": reflect.TypeFor[uint64](), "uint8": reflect.TypeFor[uint8](), "uint16": reflect.TypeFor[uint16](), "uint32": reflect.TypeFor[uint32](), "uint64": reflect.TypeFor[uint64](), "byte": reflect.TypeFor[byte](),
	"float32": reflect.TypeFor[float32](), "float64": reflect.TypeFor[float64](),
}

// Parse reads a type in Go's syntax.
func Parse(text string) (reflect.Type, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("the type has more than %d characters", maxText)
	}
	e, err := parser.ParseExpr(text)
	if err != nil {
		return nil, fmt.Errorf("bad type %q: %w; write it as in Go, such as struct{A, B int}", text, err)
	}
	t, err := typeOf(e, 0)
	if err != nil {
		return nil, fmt.Errorf("bad type %q: %w", text, err)
	}
	return t, nil
}

func typeOf(e ast.Expr, depth int) (reflect.Type, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return typeOf(e.X, depth+1)
	case *ast.Ident:
		if t := basic[e.Name]; t != nil {
			return t, nil
		}
		if e.Name == "any" || e.Name == "error" {
			return nil, errInterface
		}
		return nil, fmt.Errorf("%s is no type of the language; describe it by its fields, such as struct{A, B int}", e.Name)
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok && x.Name == "time" {
			switch e.Sel.Name {
			case "Time":
				return reflect.TypeFor[time.Time](), nil
			case "Duration":
				return basic["int64"], nil
			}
		}
		return nil, fmt.Errorf("a type of another package is not known here, but for time.Time and time.Duration; describe it by its fields")
	case *ast.StarExpr:
		t, err := typeOf(e.X, depth+1)
		if err != nil {
			return nil, err
		}
		return reflect.PointerTo(t), nil
	case *ast.ArrayType:
		return arrayOf(e, depth)
	case *ast.MapType:
		return mapOf(e, depth)
	case *ast.StructType:
		return structOf(e, depth)
	case *ast.InterfaceType:
		return nil, errInterface
	}
	return nil, errors.New("gob cannot send such a value")
}

var errInterface = errors.New("a value of an interface carries the name of a type that only the program of the server has, so it cannot be sent from here")

func arrayOf(e *ast.ArrayType, depth int) (reflect.Type, error) {
	t, err := typeOf(e.Elt, depth+1)
	if err != nil {
		return nil, err
	}
	if e.Len == nil {
		return reflect.SliceOf(t), nil
	}
	n := -1
	if l, ok := e.Len.(*ast.BasicLit); ok && l.Kind == token.INT {
		if v, err := strconv.Atoi(l.Value); err == nil {
			n = v
		}
	}
	if n < 0 || n > maxSize || uintptr(n)*max(t.Size(), 1) > maxSize {
		return nil, fmt.Errorf("the length of an array is a number, and a value has at most %d octets", maxSize)
	}
	return reflect.ArrayOf(n, t), nil
}

func mapOf(e *ast.MapType, depth int) (reflect.Type, error) {
	key, err := typeOf(e.Key, depth+1)
	if err != nil {
		return nil, err
	}
	value, err := typeOf(e.Value, depth+1)
	if err != nil {
		return nil, err
	}
	if k := key.Kind(); k != reflect.String && (k < reflect.Int || k > reflect.Uint64) {
		return nil, errors.New("the key of a map is a string or a whole number, as in JSON")
	}
	return reflect.MapOf(key, value), nil
}

func structOf(e *ast.StructType, depth int) (reflect.Type, error) {
	var fields []reflect.StructField
	var size uintptr
	known := map[string]bool{}
	for _, f := range e.Fields.List {
		if len(f.Names) == 0 || f.Tag != nil {
			return nil, errors.New("write each field as NAME TYPE, without a tag; an embedded type is a field of its name")
		}
		t, err := typeOf(f.Type, depth+1)
		if err != nil {
			return nil, err
		}
		for _, n := range f.Names {
			if !n.IsExported() {
				return nil, fmt.Errorf("field %s: gob sends only fields that begin with a capital letter", n.Name)
			}
			if known[n.Name] {
				return nil, fmt.Errorf("field %s is there twice", n.Name)
			}
			known[n.Name] = true
			fields = append(fields, reflect.StructField{Name: n.Name, Type: t})
			if size += t.Size(); size > maxSize {
				return nil, fmt.Errorf("a value has at most %d octets", maxSize)
			}
		}
	}
	if len(fields) == 0 {
		return nil, errors.New("gob cannot send a struct without fields; use the type of one that the method ignores, such as int")
	}
	return reflect.StructOf(fields), nil
}

// Value reads JSON as a value of the type, and returns a pointer to it. A field that the
// type does not have is an error.
func Value(t reflect.Type, text []byte) (any, error) {
	v := reflect.New(t)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v.Interface()); err != nil {
		return nil, fmt.Errorf("the argument does not fit the type: %w", err)
	}
	return v.Interface(), nil
}
