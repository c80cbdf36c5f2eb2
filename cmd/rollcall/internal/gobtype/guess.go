package gobtype

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/token"
	"maps"
	"reflect"
	"slices"
)

// Guess returns the type that a value of JSON most likely has: whole numbers are int,
// others are float64, an object is a struct with its fields, and an array is a slice.
func Guess(text []byte) (reflect.Type, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return guess(v, 0)
}

var errDescribe = errors.New("describe the type of the argument with -arg")

func guess(v any, depth int) (reflect.Type, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the argument is nested more than %d deep", maxDepth)
	}
	switch v := v.(type) {
	case bool:
		return basic["bool"], nil
	case string:
		return basic["string"], nil
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return basic["int"], nil
		}
		return basic["float64"], nil
	case []any:
		if len(v) == 0 {
			return nil, fmt.Errorf("an empty array does not tell its type; %w", errDescribe)
		}
		t, err := guess(v[0], depth+1)
		if err != nil {
			return nil, err
		}
		for _, e := range v[1:] {
			other, err := guess(e, depth+1)
			switch {
			case err != nil:
				return nil, err
			case other != t && isNumber(other) && isNumber(t):
				t = basic["float64"]
			case other != t:
				return nil, fmt.Errorf("the elements of an array have several types; %w", errDescribe)
			}
		}
		return reflect.SliceOf(t), nil
	case map[string]any:
		return guessStruct(v, depth)
	}
	return nil, fmt.Errorf("null does not tell its type; %w", errDescribe)
}

func isNumber(t reflect.Type) bool { return t == basic["int"] || t == basic["float64"] }

func guessStruct(v map[string]any, depth int) (reflect.Type, error) {
	if len(v) == 0 {
		return nil, fmt.Errorf("an empty object does not tell its type; %w", errDescribe)
	}
	var fields []reflect.StructField
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !token.IsIdentifier(name) || !token.IsExported(name) {
			return nil, fmt.Errorf("field %q: gob knows only fields that begin with a capital letter; if this is a map, %w, such as map[string]int", name, errDescribe)
		}
		t, err := guess(v[name], depth+1)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		fields = append(fields, reflect.StructField{Name: name, Type: t})
	}
	return reflect.StructOf(fields), nil
}
