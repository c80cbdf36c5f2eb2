package rpcwire

import (
	"bytes"
	"encoding/gob"
	"math"
	"net/rpc"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// messages splits a gob stream, lengths cut off.
func messages(t testing.TB, stream []byte) (out [][]byte) {
	t.Helper()
	for len(stream) > 0 {
		n, k := gobvalue.ReadUint(stream)
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

func TestRequestDefinitionIsKnown(t *testing.T) {
	id, ok := isRequest(messages(t, encoded(t, rpc.Request{ServiceMethod: "A.B"}))[0])
	if !ok || id < 64 {
		t.Fatalf("rpc.Request as encoding/gob defines it is not recognised: %v %d", ok, id)
	}
	type Request struct {
		ServiceMethod string
		Seq           int64
	}
	for _, v := range []any{rpc.Response{}, Request{}, struct{ X int }{}} {
		if _, ok := isRequest(messages(t, encoded(t, v))[0]); ok {
			t.Errorf("%T is taken for rpc.Request", v)
		}
	}
}

func TestResponseDefinitionIsKnown(t *testing.T) {
	id, ok := isResponse(messages(t, encoded(t, rpc.Response{ServiceMethod: "A.B"}))[0])
	if !ok || id < 64 {
		t.Fatalf("rpc.Response as encoding/gob defines it is not recognised: %v %d", ok, id)
	}
	type Response struct {
		Error         string
		ServiceMethod string
		Seq           uint64
	}
	for _, v := range []any{rpc.Request{}, Response{}, struct{ X int }{}} {
		if _, ok := isResponse(messages(t, encoded(t, v))[0]); ok {
			t.Errorf("%T is taken for rpc.Response", v)
		}
	}
}

func TestRequestsAreReadAsGobReadsThem(t *testing.T) {
	for _, seq := range numbers {
		for _, name := range []string{"", "A.B", strings.Repeat("x", 127), strings.Repeat("x", 300)} {
			m := messages(t, encoded(t, rpc.Request{ServiceMethod: name, Seq: seq}))
			value := m[len(m)-1]
			_, n := gobvalue.ReadUint(value)
			gotName, gotSeq, ok := parseRequest(value[n:])
			if !ok || string(gotName) != name || gotSeq != seq {
				t.Errorf("%q %d: read %q %d %v", name, seq, gotName, gotSeq, ok)
			}
			for cut := range len(value) - n {
				if _, _, ok := parseRequest(value[n : n+cut]); ok {
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
				n, k := gobvalue.ReadUint(stream)
				want := stream[k+int(n):]
				_, k = gobvalue.ReadUint(want)
				u, _ := gobvalue.ReadUint(want[k:])
				if got := appendResponse([]byte("before"), gobvalue.ToInt(u), method, seq, errText); string(got) != "before"+string(want) {
					t.Fatalf("%d bytes of method, seq %d, %d bytes of error:\ngot  %.80x\nwant %.80x", len(method), seq, len(errText), got, want)
				}
			}
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	m := messages(f, encoded(f, rpc.Request{ServiceMethod: "A.B", Seq: 300}))
	_, n := gobvalue.ReadUint(m[1])
	id := m[1][:n]
	f.Add(m[1][n:])
	f.Add([]byte{2, 5, 0})
	f.Add([]byte{1, 0, 1, 0, 0})
	def := m[0]
	f.Fuzz(func(t *testing.T, value []byte) {
		name, seq, ok := parseRequest(value)
		if !ok {
			return
		}
		// encoding/gob reads the same.
		var stream []byte
		stream = append(gobvalue.AppendUint(stream, uint64(len(def))), def...)
		stream = gobvalue.AppendUint(stream, uint64(len(id)+len(value)))
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

// The headers by hand are those of encoding/gob, byte for byte.
func TestRequestHeaderIsGobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		method := rapid.StringN(1, -1, 400).Draw(t, "method")
		seq := rapid.Uint64Min(1).Draw(t, "seq")
		var want bytes.Buffer
		enc := gob.NewEncoder(&want)
		enc.Encode(&rpc.Request{ServiceMethod: "x", Seq: 1})
		first := gobvalue.LastMessage(want.Bytes())
		_, n := gobvalue.ReadUint(first)
		u, _ := gobvalue.ReadUint(first[n:])
		id := gobvalue.ToInt(u)
		want.Reset()
		enc.Encode(&rpc.Request{ServiceMethod: method, Seq: seq})
		if got := appendRequest(nil, id, method, seq); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q %d:\ngot  %x\nwant %x", method, seq, got, want.Bytes())
		}
	})
}
