package rpcwire

import "fmt"

// Printable is the value of a panic in words, even if its own methods panic.
func Printable(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("a %T that cannot be printed", v)
		}
	}()
	return fmt.Sprint(v)
}

// Tests: writer_test.go.
