package callmeta

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// list is a []string as encoding/gob writes it in a field of a struct.
func list(t interface {
	Helper()
	Fatal(...any)
}, pairs []string,
) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(struct{ L []string }{pairs}); err != nil {
		t.Fatal(err)
	}
	message := gobvalue.LastMessage(b.Bytes())
	_, n := gobvalue.ReadUint(message)
	_, k := gobvalue.ReadUint(message[n:])
	value := message[n+k:]
	if value[0] == 0 {
		return nil // an empty list is left out
	}
	return value[1 : len(value)-1]
}

// TestMetaIsGobsList, byte for byte, whatever the pairs and the order in which they came.
func TestMetaIsGobsList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{}
		var m Meta
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			key := rapid.StringMatching(`[a-z0-9.-][a-z0-9._-]{0,8}`).Draw(t, "key")
			value := rapid.OneOf(rapid.String(), rapid.StringN(0, 300, 300)).Draw(t, "value")
			more, err := m.With(key, value)
			total := len(key) + len(value)
			for k, v := range want {
				if k != key {
					total += len(k) + len(v)
				}
			}
			_, had := want[key]
			fits := total <= MaxBytes && (had || len(want) < MaxKeys)
			if (err == nil) != fits {
				t.Fatalf("%d keys, %d bytes with %q: %v", len(want), total, key, err)
			}
			if err != nil {
				if more != m || !strings.Contains(err.Error(), key) {
					t.Fatalf("it became %v with the error %v", more, err)
				}
				continue
			}
			m, want[key] = more, value
		}
		if got := maps.Collect(m.All()); !maps.Equal(got, want) || m.Len() != len(want) {
			t.Fatalf("got %v (%d), want %v", got, m.Len(), want)
		}
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(want)) {
			pairs = append(pairs, k, want[k])
			if v, ok := m.Get(k); !ok || v != want[k] {
				t.Fatalf("%q is %q, %v", k, v, ok)
			}
		}
		if _, ok := m.Get("_"); ok {
			t.Fatal("it has a key that it was not given")
		}
		wire := list(t, pairs)
		if got := m.Append(nil); !bytes.Equal(got, wire) {
			t.Fatalf("got  %x\nwant %x", got, wire)
		}
		if len(wire) > 0 {
			if size, err := Scan(append(wire, 0, 1, 2)); size != len(wire) || err != nil || Keep(wire) != m {
				t.Fatalf("%d of %d bytes, %v, %v", size, len(wire), err, Keep(wire))
			}
		}
		if again, err := Of(pairs); again != m || err != nil {
			t.Fatal(again, err)
		}
	})
}

// TestWhatIsRefused, with the reason. The end of the list is known all the same.
func TestWhatIsRefused(t *testing.T) {
	many := make([]string, 0, 2*MaxKeys+2)
	for i := range MaxKeys + 1 {
		many = append(many, fmt.Sprintf("k%02d", i), "")
	}
	for name, tt := range map[string]struct {
		pairs []string
		want  string
	}{
		"an odd number":           {[]string{"a", "1", "b"}, "without a value"},
		"too many":                {many, "more than 32 keys"},
		"too long":                {[]string{"a", strings.Repeat("x", MaxBytes)}, "more than 8192 bytes"},
		"no key":                  {[]string{"", "1"}, "has 0 bytes"},
		"a long key":              {[]string{strings.Repeat("k", MaxKey+1), "1"}, "has 65 bytes"},
		"an upper-case letter":    {[]string{"Token", "1"}, `"Token"`},
		"a space":                 {[]string{"a b", "1"}, `"a b"`},
		"the same twice":          {[]string{"a", "1", "a", "2"}, "each once"},
		"in the wrong order":      {[]string{"b", "1", "a", "2"}, "ascending"},
		"bytes that are no text":  {[]string{"\xff", "1"}, "a-z"},
		"many more than too many": {slices.Repeat([]string{"a"}, 100_000), "more than 32 keys"},
	} {
		wire := list(t, tt.pairs)
		size, err := Scan(append(wire, 7))
		if err == nil || !strings.Contains(err.Error(), tt.want) || size != len(wire) {
			t.Errorf("%s: %d of %d bytes, %v", name, size, len(wire), err)
		}
		if _, err := Of(tt.pairs); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Of: %v", name, err)
		}
	}
	if m, err := Of(many[:2*MaxKeys]); err != nil || m.Len() != MaxKeys {
		t.Errorf("as many as may be: %d, %v", m.Len(), err)
	}
	if err := Check("_new", ""); err == nil || !strings.Contains(err.Error(), "reserved") {
		t.Error("a reserved key:", err)
	}
	if _, err := Scan(list(t, []string{"_new", ""})); err != nil {
		t.Error("a reserved key on the wire:", err)
	}
}

// TestACutListHasNoEnd, wherever it is cut.
func TestACutListHasNoEnd(t *testing.T) {
	wire := list(t, []string{"a", strings.Repeat("x", 300), "b", ""})
	for n := range wire {
		if size, err := Scan(wire[:n]); size != 0 || err == nil {
			t.Errorf("%d of %d bytes: %d, %v", n, len(wire), size, err)
		}
	}
}

func TestContexts(t *testing.T) {
	ctx := t.Context()
	if m, err := Outgoing(ctx); m != (Meta{}) || err != nil || Incoming(ctx) != (Meta{}) {
		t.Error("of an empty context:", m, err)
	}
	one := WithOutgoing(ctx, "b", "1")
	two := WithOutgoing(WithOutgoing(one, "a", "2"), "b", "3")
	if m, _ := Outgoing(one); fmt.Sprint(maps.Collect(m.All())) != "map[b:1]" {
		t.Error("the first context has", maps.Collect(m.All()))
	}
	m, err := Outgoing(two)
	if err != nil || fmt.Sprint(maps.Collect(m.All())) != "map[a:2 b:3]" || m.String() != "a b" {
		t.Error(maps.Collect(m.All()), m, err)
	}
	if Incoming(two) != (Meta{}) {
		t.Error("what goes out has come in")
	}
	in := WithIncoming(ctx, m)
	if out, _ := Outgoing(in); Incoming(in) != m || out != (Meta{}) {
		t.Error("what has come in goes out")
	}
	bad := WithOutgoing(WithOutgoing(two, "Bad Key", "x"), "c", "4")
	if _, err := Outgoing(bad); err == nil || !strings.Contains(err.Error(), "Bad Key") {
		t.Error("a bad key:", err)
	}
	if _, err := Outgoing(context.WithoutCancel(bad)); err == nil {
		t.Error("a context of it has no error")
	}
}

// FuzzScan: what is found good is what encoding/gob reads, and comes back as it was.
func FuzzScan(f *testing.F) {
	f.Add([]byte{2, 1, 'a', 1, 'b'})
	f.Add([]byte{4, 1, 'a', 0, 1, 'b', 0xff, 1, 'c'})
	f.Add([]byte{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		size, err := Scan(b)
		if size > len(b) || size == 0 && err == nil {
			t.Fatalf("%x: %d bytes, %v", b, size, err)
		}
		if err != nil || size == 1 {
			return
		}
		var stream bytes.Buffer
		gob.NewEncoder(&stream).Encode(struct{ L []string }{[]string{""}})
		all := stream.Bytes()
		last := gobvalue.LastMessage(all)
		_, n := gobvalue.ReadUint(last)
		id := last[n : n+2]
		message := append(append(bytes.Clone(id), 1), b[:size]...)
		message = append(message, 0)
		in := append(bytes.Clone(all[:len(all)-len(last)]), gobvalue.AppendUint(nil, uint64(len(message)))...)
		var got struct{ L []string }
		if err := gob.NewDecoder(bytes.NewReader(append(in, message...))).Decode(&got); err != nil {
			t.Fatalf("%x: encoding/gob: %v", b, err)
		}
		want, err := Of(got.L)
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		m := Keep(b[:size])
		if !maps.Equal(maps.Collect(m.All()), maps.Collect(want.All())) || m.Len() != want.Len() {
			t.Fatalf("%x: %v, and encoding/gob has %v", b, maps.Collect(m.All()), got.L)
		}
	})
}
