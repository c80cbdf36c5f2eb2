package gobvalue

import (
	"bytes"
	"encoding/gob"
	"math"
	"testing"
)

// messages splits a gob stream, lengths cut off.
func messages(t testing.TB, stream []byte) (out [][]byte) {
	t.Helper()
	for len(stream) > 0 {
		n, k := ReadUint(stream)
		if k == 0 || uint64(len(stream)) < uint64(k)+n {
			t.Fatalf("not a gob stream: %x", stream)
		}
		out = append(out, stream[k:k+int(n)])
		stream = stream[k+int(n):]
	}
	return out
}

func encoded(t testing.TB, values ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := gob.NewEncoder(&b)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

var numbers = []uint64{0, 1, 2, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<56 - 1, 1 << 56, math.MaxUint64 - 1, math.MaxUint64}

func TestUintIsGobs(t *testing.T) {
	for _, x := range numbers {
		m := messages(t, encoded(t, x))[0] // type id, 0 for "not a struct", value
		b := AppendUint(nil, x)
		if !bytes.HasSuffix(m, b) || len(m) != 2+len(b) {
			t.Errorf("%d: %x is not the end of %x", x, b, m)
		}
		if back, n := ReadUint(b); back != x || n != len(b) {
			t.Errorf("%d: read back as %d, %d of %d bytes", x, back, n, len(b))
		}
		for cut := range b {
			if _, n := ReadUint(b[:cut]); n != 0 {
				t.Errorf("%d: %d of %d bytes are read as a whole", x, cut, len(b))
			}
		}
	}
	for _, i := range []int64{0, 1, -1, 63, -64, 64, -65, math.MaxInt64, math.MinInt64} {
		if ToInt(ToUint(i)) != i {
			t.Errorf("%d became %d", i, ToInt(ToUint(i)))
		}
	}
}
