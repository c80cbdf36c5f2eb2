package rpcwire

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"net/rpc"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// foreign are requests of clients that are newer, or wrong.
func foreign() map[string]struct {
	header any
	want   string // of the error; "": it is executed
} {
	type Request struct {
		ServiceMethod string
		Seq           uint64
		Timeout       string
		Meta          []string
	}
	type Newer struct {
		ServiceMethod string
		Seq           uint64
		Timeout       uint64
		Meta          []string
		Trace         map[string]Inner
	}
	type Other struct {
		Meta          map[string]string
		Seq           uint64
		ServiceMethod string
	}
	type Loose struct {
		ServiceMethod string
		Seq           uint64
		More          any
	}
	return map[string]struct {
		header any
		want   string
	}{
		"a Timeout of another type": {Request{"m", 5, "soon", nil}, "does not fit"},
		"a Meta of another type":    {Other{map[string]string{"a": "b"}, 5, "m"}, "does not fit"},
		"a field more":              {Newer{"m", 5, 7, []string{"a", "b"}, map[string]Inner{"x": {1}}}, ""},
		"a field more, bad Meta":    {Newer{"m", 5, 7, []string{"A", "b"}, nil}, `"A"`},
		"an interface value":        {Loose{"m", 5, Inner{1}}, ""},
	}
}

// TestForeignHeadersCostNoConnection: each is answered, or executed without what is not
// understood. It comes first, and again.
func TestForeignHeadersCostNoConnection(t *testing.T) {
	for name, tt := range foreign() {
		var stream bytes.Buffer
		enc := gob.NewEncoder(&stream)
		for range 3 {
			if err := errors.Join(enc.Encode(tt.header), enc.Encode(1)); err != nil {
				t.Fatal(err)
			}
		}
		enc.Encode(rpc.Request{ServiceMethod: "n", Seq: 6})
		d := NewRequestReader(&stream, 1<<20, new(Types), nil)
		for range 3 {
			var h Header
			err := d.Request(&h)
			if err != nil || string(h.Method) != "m" || h.Seq != 5 || (h.Refused != nil) != (tt.want != "") || h.Refused != nil && !strings.Contains(h.Refused.Error(), tt.want) {
				t.Fatalf("%s: %s %d %v, %v", name, h.Method, h.Seq, h.Refused, err)
			}
			if err := errors.Join(d.Next(), d.skip()); err != nil {
				t.Fatal(name, err)
			}
		}
		var h Header
		if err := d.Request(&h); err != nil || string(h.Method) != "n" || h.Refused != nil || h.Timeout != 0 || h.Meta != nil {
			t.Errorf("%s: then comes %+v, %v", name, h, err)
		}
	}
}

// longStream is a stream whose long requests have these bytes for their values.
func longStream(values ...[]byte) []byte {
	var b bytes.Buffer
	enc := gob.NewEncoder(&b)
	enc.Encode((&Request{ServiceMethod: "m", Seq: 1, Timeout: 1}).forGob())
	first := gobvalue.LastMessage(b.Bytes())
	_, n := gobvalue.ReadUint(first)
	_, k := gobvalue.ReadUint(first[n:])
	id := bytes.Clone(first[n : n+k])
	stream := bytes.Clone(b.Bytes()[:b.Len()-len(first)])
	for _, v := range values {
		stream = gobvalue.AppendUint(stream, uint64(len(id)+len(v)))
		stream = append(append(stream, id...), v...)
	}
	return stream
}

// TestBadLongHeadersAreRefused, and the stream goes on, if the header says its number.
func TestBadLongHeadersAreRefused(t *testing.T) {
	big := gobvalue.AppendUint([]byte{1, 1, 'm', 1, 5, 2}, 100_000)
	big = append(append(big, make([]byte, 100_000)...), 0) // as many empty strings
	for name, tt := range map[string]struct {
		value []byte
		want  string
	}{
		"a Timeout that is cut off":  {[]byte{1, 1, 'm', 1, 5, 1, 0xfe, 1}, "cannot be understood"},
		"no end":                     {[]byte{1, 1, 'm', 1, 5, 1, 9}, "cannot be understood"},
		"a field too many":           {[]byte{1, 1, 'm', 1, 5, 3, 9, 0}, "cannot be understood"},
		"bytes after the end":        {[]byte{1, 1, 'm', 1, 5, 1, 9, 0, 0}, "cannot be understood"},
		"a list that is cut off":     {[]byte{1, 1, 'm', 1, 5, 2, 9, 0}, "cut off"},
		"an odd number of strings":   {[]byte{1, 1, 'm', 1, 5, 2, 1, 0, 0}, "without a value"},
		"a hundred thousand strings": {big, "more than 32 keys"},
	} {
		good := []byte{1, 1, 'n', 1, 6, 0}
		for _, values := range [][][]byte{{tt.value, good}, {good, tt.value, tt.value, good}} {
			d := NewRequestReader(bytes.NewReader(longStream(values...)), 4<<20, new(Types), nil)
			for i, v := range values {
				var h Header
				err := d.Request(&h)
				if bytes.Equal(v, good) {
					if err != nil || string(h.Method) != "n" || h.Seq != 6 || h.Refused != nil {
						t.Errorf("%s: %d: the good one is %+v, %v", name, i, h, err)
					}
				} else if err != nil || string(h.Method) != "m" || h.Seq != 5 || h.Refused == nil || !strings.Contains(h.Refused.Error(), tt.want) || h.Meta != nil {
					t.Errorf("%s: %d: %s %d %v, %v", name, i, h.Method, h.Seq, h.Refused, err)
				}
			}
		}
	}
	for _, v := range [][]byte{{1, 9, 'm'}, {1, 1, 'm', 1, 0xff}} {
		if err := NewRequestReader(bytes.NewReader(longStream(v)), 1<<20, new(Types), nil).Request(new(Header)); err == nil {
			t.Errorf("%x has no number, and is read", v)
		}
	}
}

// TestHugeMetadataTakesNoMemory beside its message.
func TestHugeMetadataTakesNoMemory(t *testing.T) {
	const strings = 1 << 18
	big := gobvalue.AppendUint([]byte{1, 1, 'm', 1, 5, 2}, strings)
	big = append(append(big, make([]byte, strings)...), 0)
	stream := longStream(big)
	claimed := 0
	d := NewRequestReader(bytes.NewReader(stream), 4<<20, new(Types), func(n int) error { claimed = max(claimed, n); return nil })
	var h Header
	if err := d.Request(&h); err != nil || h.Refused == nil {
		t.Fatal(h, err)
	}
	if claimed > len(stream)+1<<20 {
		t.Errorf("%d bytes were claimed for a message of %d", claimed, len(stream))
	}
}

// TestBadLongResponsesSayWhatNetRPCReads, and the stream goes on.
func TestBadLongResponsesSayWhatNetRPCReads(t *testing.T) {
	var b bytes.Buffer
	enc := gob.NewEncoder(&b)
	type Response struct {
		Seq         uint64
		Error       string
		NotExecuted string
		Knows       []string
	}
	enc.Encode(Response{5, "e", "x", []string{"cancel"}})
	enc.Encode(1)
	enc.Encode(Response{6, "f", "x", nil})
	enc.Encode(1)
	d := NewResponseReader(&b, 1<<20, new(Types))
	for _, want := range []string{"5 e", "6 f"} {
		resp, err := nextResponse(d)
		if got := fmt.Sprint(resp.Seq, " ", resp.Error); err != nil || got != want || resp.NotExecuted || resp.Knows != 0 {
			t.Errorf("%+v, %v, want %s", resp, err, want)
		}
		d.Next()
		d.skip()
	}
	for name, tt := range map[string]struct {
		value []byte
		want  string
	}{
		"words of a newer server": {[]byte{2, 5, 4, 3, 3, 'n', 'e', 'w', 6, 'c', 'a', 'n', 'c', 'e', 'l', 0, 0}, `5 "" false 0s 1 true`},
		"a wait of an hour":       {[]byte{2, 5, 1, 1, 'e', 1, 1, 1, 0xfd, 0x36, 0xee, 0x80, 0}, `5 "e" true 1m0s 0 true`},
		"a wait that is cut off":  {[]byte{2, 5, 1, 1, 'e', 1, 1, 1, 0xfd, 0x36}, `5 "e" false 0s 0 true`},
		"a list that is cut off":  {[]byte{2, 5, 3, 1, 2, 0xff, 1}, `5 "" false 0s 0 true`},
		"an error that is cut":    {[]byte{2, 5, 1, 9, 'e'}, "false"},
	} {
		got := newResponse(tt.value)
		if !strings.HasSuffix(tt.want, "true") {
			got = got[strings.LastIndex(got, " ")+1:]
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func newResponse(value []byte) string {
	var r Response
	_, ok := parseLongResponse(value, &r)
	return fmt.Sprintf("%d %q %v %v %d %v", r.Seq, r.Error, r.NotExecuted, r.Wait, r.Knows, ok)
}

// FuzzParseLongRequest: what is read by hand and not refused is what encoding/gob reads.
func FuzzParseLongRequest(f *testing.F) {
	f.Add([]byte{1, 1, 'm', 1, 5, 1, 9, 1, 2, 1, 'a', 1, 'b', 0})
	f.Add([]byte{2, 5, 1, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0})
	f.Add([]byte{1, 1, 'm', 1, 5, 2, 4, 1, 'b', 0, 1, 'a', 0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		var h Header
		if !parseLongRequest(value, &h) || h.Refused != nil {
			return
		}
		var want requestFields
		if err := gob.NewDecoder(bytes.NewReader(longStream(value))).Decode(&want); err != nil {
			t.Fatalf("%x: read as %+v, encoding/gob says %v", value, h, err)
		}
		meta, err := callmeta.Of(want.Meta)
		if err != nil || string(h.Method) != want.ServiceMethod || h.Seq != want.Seq || h.Timeout != timeout(want.Timeout) || callmeta.Keep(h.Meta).Len() != meta.Len() {
			t.Fatalf("%x: read as %+v, encoding/gob says %+v, %v", value, h, want, err)
		}
	})
}

// FuzzHeaders: whatever a client sends, the reader neither crashes nor hangs, and says of a
// request what encoding/gob says, as far as net/rpc reads it.
func FuzzHeaders(f *testing.F) {
	for _, tt := range foreign() {
		f.Add(encoded(f, tt.header, 1, rpc.Request{ServiceMethod: "n", Seq: 6}, 2))
	}
	w := NewWriter(new(Types))
	meta, _ := callmeta.Of([]string{"a", "b"})
	b, _ := w.AppendRequest(nil, &Request{ServiceMethod: "m", Seq: 1}, 1)
	for range 2 {
		b, _ = w.AppendRequest(b, &Request{ServiceMethod: "m", Seq: 2, Timeout: time.Second, Meta: meta}, []string{"x"})
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, stream []byte) {
		d := NewRequestReader(bytes.NewReader(stream), 1<<20, new(Types), nil)
		stock := gob.NewDecoder(bytes.NewReader(stream))
		for {
			var h Header
			if d.Request(&h) != nil {
				return
			}
			if h.Refused == nil {
				var want rpc.Request
				if err := stock.Decode(&want); err != nil || string(h.Method) != want.ServiceMethod || h.Seq != want.Seq {
					t.Fatalf("%x: read as %s %d, encoding/gob says %+v, %v", stream, h.Method, h.Seq, want, err)
				}
			} else {
				stock.DecodeValue(reflect.Value{})
			}
			if d.Next() != nil {
				return
			}
			if _, broken := d.Body(nil); broken != nil {
				return
			}
			if stock.DecodeValue(reflect.Value{}) != nil {
				return
			}
		}
	})
}

// TestLongNamesOfMethodsAreRefused, and nothing of their size is kept.
func TestLongNamesOfMethodsAreRefused(t *testing.T) {
	for _, size := range []int{maxMethod + 1, 1 << 20} {
		var stream bytes.Buffer
		enc := gob.NewEncoder(&stream)
		name := strings.Repeat("x", size)
		for range 2 { // encoding/gob reads the first one
			enc.Encode(rpc.Request{ServiceMethod: name, Seq: 5})
			enc.Encode(1)
			enc.Encode((&Request{ServiceMethod: name, Seq: 5, Timeout: 1}).forGob())
			enc.Encode(1)
		}
		enc.Encode(rpc.Request{ServiceMethod: name[:maxMethod], Seq: 6})
		d := NewRequestReader(&stream, 2<<20, new(Types), nil)
		for range 4 {
			var h Header
			if err := d.Request(&h); err != nil || h.Seq != 5 || h.Refused != errMethod || len(h.Method) != 64 {
				t.Fatalf("%d bytes: %q %d %v, %v", size, h.Method, h.Seq, h.Refused, err)
			}
			if err := errors.Join(d.Next(), d.skip()); err != nil {
				t.Fatal(err)
			}
		}
		if cap(d.name) > 2*maxMethod || d.req.ServiceMethod != "" {
			t.Errorf("%d bytes of a name are kept", max(cap(d.name), len(d.req.ServiceMethod)))
		}
		var h Header
		if err := d.Request(&h); err != nil || h.Refused != nil || len(h.Method) != maxMethod {
			t.Errorf("then comes %+v, %v", h, err)
		}
	}
}
