package callmeta

import (
	"fmt"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// Scan goes over a []string as encoding/gob writes it, at the front of b, and checks that
// it is metadata within the bounds. size is how many bytes it has: it is right also if err
// is not nil, and 0 if the list has no end within b.
func Scan(b []byte) (size int, err error) {
	count, at := gobvalue.ReadUint(b)
	if at == 0 {
		return 0, errCut
	}
	switch {
	case count > 2*MaxKeys:
		err = errKeys
	case count%2 != 0:
		err = errPairs
	}
	total := 0
	var key []byte // the last one
	for i := range count {
		n, k := gobvalue.ReadUint(b[at:])
		if k == 0 || n > uint64(len(b)-at-k) {
			return 0, errCut
		}
		at += k
		s := b[at : at+int(n)]
		at += int(n)
		if err != nil { // only the end is looked for
			continue
		}
		if total += len(s); total > MaxBytes {
			err = errBytes
			continue
		}
		if i%2 != 0 {
			continue
		}
		if err = checkKey(s); err == nil && string(key) >= string(s) {
			err = fmt.Errorf("metadata key %q comes after %q: keys are in ascending order, each once", s, key)
		}
		key = s
	}
	return at, err
}

// Tests: meta_test.go.
