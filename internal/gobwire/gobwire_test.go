package gobwire

import (
	"bytes"
	"encoding/gob"
	"math"
	"net/rpc"
	"strings"
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

func TestRequestDefinitionIsKnown(t *testing.T) {
	id, ok := IsRequest(messages(t, encoded(t, rpc.Request{ServiceMethod: "A.B"}))[0])
	if !ok || id < 64 {
		t.Fatalf("rpc.Request as encoding/gob defines it is not recognised: %v %d", ok, id)
	}
	type Request struct {
		ServiceMethod string
		Seq           int64
	}
	for _, v := range []any{rpc.Response{}, Request{}, struct{ X int }{}} {
		if _, ok := IsRequest(messages(t, encoded(t, v))[0]); ok {
			t.Errorf("%T is taken for rpc.Request", v)
		}
	}
}

func TestResponseDefinitionIsKnown(t *testing.T) {
	id, ok := IsResponse(messages(t, encoded(t, rpc.Response{ServiceMethod: "A.B"}))[0])
	if !ok || id < 64 {
		t.Fatalf("rpc.Response as encoding/gob defines it is not recognised: %v %d", ok, id)
	}
	type Response struct {
		Error         string
		ServiceMethod string
		Seq           uint64
	}
	for _, v := range []any{rpc.Request{}, Response{}, struct{ X int }{}} {
		if _, ok := IsResponse(messages(t, encoded(t, v))[0]); ok {
			t.Errorf("%T is taken for rpc.Response", v)
		}
	}
}

func TestRequestsAreReadAsGobReadsThem(t *testing.T) {
	for _, seq := range numbers {
		for _, name := range []string{"", "A.B", strings.Repeat("x", 127), strings.Repeat("x", 300)} {
			m := messages(t, encoded(t, rpc.Request{ServiceMethod: name, Seq: seq}))
			value := m[len(m)-1]
			_, n := ReadUint(value)
			gotName, gotSeq, ok := ParseRequest(value[n:])
			if !ok || string(gotName) != name || gotSeq != seq {
				t.Errorf("%q %d: read %q %d %v", name, seq, gotName, gotSeq, ok)
			}
			for cut := range len(value) - n {
				if _, _, ok := ParseRequest(value[n : n+cut]); ok {
					t.Errorf("%q %d: a part is read as the whole", name, seq)
				}
			}
		}
	}
}

func TestResponsesAreWrittenAsGobWritesThem(t *testing.T) {
	texts := []string{"", "x", strings.Repeat("e", 127), strings.Repeat("e", 128), strings.Repeat("e", 70000)}
	for _, seq := range numbers {
		for _, method := range texts {
			for _, errText := range texts {
				stream := encoded(t, rpc.Response{ServiceMethod: method, Seq: seq, Error: errText})
				n, k := ReadUint(stream)
				want := stream[k+int(n):]
				_, k = ReadUint(want)
				u, _ := ReadUint(want[k:])
				if got := AppendResponse([]byte("before"), ToInt(u), method, seq, errText); string(got) != "before"+string(want) {
					t.Fatalf("%d bytes of method, seq %d, %d bytes of error:\ngot  %.80x\nwant %.80x", len(method), seq, len(errText), got, want)
				}
			}
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	m := messages(f, encoded(f, rpc.Request{ServiceMethod: "A.B", Seq: 300}))
	_, n := ReadUint(m[1])
	id := m[1][:n]
	f.Add(m[1][n:])
	f.Add([]byte{2, 5, 0})
	f.Add([]byte{1, 0, 1, 0, 0})
	def := m[0]
	f.Fuzz(func(t *testing.T, value []byte) {
		name, seq, ok := ParseRequest(value)
		if !ok {
			return
		}
		// What is read here, encoding/gob reads alike.
		var stream []byte
		stream = append(AppendUint(stream, uint64(len(def))), def...)
		stream = AppendUint(stream, uint64(len(id)+len(value)))
		stream = append(append(stream, id...), value...)
		var want rpc.Request
		if err := gob.NewDecoder(bytes.NewReader(stream)).Decode(&want); err != nil {
			t.Fatalf("%x: read as %q %d, gob says %v", value, name, seq, err)
		}
		if want.ServiceMethod != string(name) || want.Seq != seq {
			t.Fatalf("%x: read as %q %d, gob says %q %d", value, name, seq, want.ServiceMethod, want.Seq)
		}
	})
}
