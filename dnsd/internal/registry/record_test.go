package registry_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/plainjson"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

const goodRecord = `{"service":"_math._tcp","id":"a1","host":"10.0.0.7","port":8080,"priority":10,"weight":100,"ttl":"5s","lease":"15s","meta":{"version":"1.2"},"incarnation":7,"state":"suspect","sticky":true,"revision":9,"behind":1010,"drain":true}`

func TestRecordIsWhole(t *testing.T) {
	var c registry.Record
	if err := json.Unmarshal([]byte(goodRecord), &c); err != nil {
		t.Fatal(err)
	}
	in, err := c.Instance()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(registry.NewRecord(in))
	if err != nil || string(text) != goodRecord {
		t.Errorf("written again: %v\n%s\n%s", err, text, goodRecord)
	}
	if p, ok := in.Published(); ok || in.TTL != 5*time.Second {
		t.Errorf("it drains itself, and is published with priority %d: %+v", p, in)
	}
	older, err := registry.ParseRecord([]byte(strings.Replace(goodRecord, `,"drain":true`, "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if in, err = older.Instance(); err != nil {
		t.Fatal(err)
	}
	if p, ok := in.Published(); p != 1010 || !ok {
		t.Errorf("the record of an older dnsd is published with priority %d, %t: %+v", p, ok, in)
	}
	// A field of Instance that Record leaves out would be lost.
	if n, want := reflect.TypeFor[registry.Record]().NumField(), reflect.TypeFor[registry.Instance]().NumField()+1; n != want {
		t.Errorf("Record has %d fields, want %d: those of Instance, and Key is two", n, want)
	}
}

func TestRecordIsChecked(t *testing.T) {
	for what, c := range map[string]struct{ old, now, field string }{
		"service":          {`"_math._tcp"`, `"math"`, "service"},
		"id":               {`"a1"`, `"A 1"`, "id"},
		"host":             {`"10.0.0.7"`, `"0.0.0.0"`, "host"},
		"host in capitals": {`"10.0.0.7"`, `"Math.example.com."`, "host"},
		"port":             {`8080`, `0`, "port"},
		"ttl":              {`"5s"`, `"100ms"`, "ttl"},
		"lease":            {`"15s"`, `"9s"`, "lease"},
		"an endless lease": {`"15s"`, `"2000000h"`, "lease"},
		"behind":           {`"suspect"`, `"up"`, "behind"},
		"meta":             {`"version"`, `"a=b"`, "meta"},
	} {
		text := strings.Replace(goodRecord, c.old, c.now, 1)
		var r registry.Record
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var field *registry.FieldError
		if _, err := r.Instance(); !errors.As(err, &field) || field.Field != c.field {
			t.Errorf("%s: %v, want an error of %s", what, err, c.field)
		}
	}
	for _, text := range []string{`{"state":"gone"}`, `{"ttl":"-5s"}`, `{"ttl":5}`, `{"port":70000}`} {
		if err := json.Unmarshal([]byte(text), new(registry.Record)); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(goodRecord))
	f.Add([]byte(strings.Replace(goodRecord, `"version":"1.2"`, ``, 1)))
	f.Add([]byte(strings.Replace(goodRecord, `"version":"1.2"`, `"version":"1.2","version":"1.3"`, 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c registry.Record
		wrong := json.Unmarshal(text, &c)
		if got, err := registry.ParseRecord(text); (err == nil) != (wrong == nil) || err == nil && !reflect.DeepEqual(got, c) {
			t.Errorf("%s: ParseRecord returns %+v, %v, want %+v, %v", text, got, err, c, wrong)
		}
		if wrong != nil {
			return
		}
		in, err := c.Instance()
		if err != nil {
			return
		}
		again, err := registry.NewRecord(in).Instance()
		if err != nil || !reflect.DeepEqual(in, again) {
			t.Errorf("%s: %+v, then %+v, %v", text, in, again, err)
		}
	})
}

// records draws what is in a Record, and what cannot be.
func records() *rapid.Generator[registry.Record] {
	return rapid.Custom(func(t *rapid.T) registry.Record {
		text := rapid.OneOf(rapid.StringMatching(`[a-z0-9_.]{0,8}`), rapid.String())
		c := registry.Record{
			Service: text.Draw(t, "service"), ID: text.Draw(t, "id"), Host: text.Draw(t, "host"),
			Port: rapid.Uint16().Draw(t, "port"), Priority: rapid.Uint16().Draw(t, "priority"), Weight: rapid.Uint16().Draw(t, "weight"),
			TTL: registry.Span(rapid.Int64Min(0).Draw(t, "ttl")), Lease: registry.Span(rapid.Int64Range(0, 100).Draw(t, "lease")) * registry.Span(time.Second),
			Incarnation: rapid.Uint64().Draw(t, "incarnation"), State: registry.State(rapid.IntRange(0, 3).Draw(t, "state")),
			Sticky: rapid.Bool().Draw(t, "sticky"), Revision: rapid.Uint64().Draw(t, "revision"), Behind: rapid.Uint16Max(2).Draw(t, "behind"),
			Drain: rapid.Bool().Draw(t, "drain"),
		}
		if m := rapid.MapOfN(text, text, 0, 12).Draw(t, "meta"); len(m) > 0 {
			c.Meta = m
		}
		return c
	})
}

// TestRecordIsThatOfEncodingJSON: both write the same, and read the same.
func TestRecordIsThatOfEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := records().Draw(t, "record")
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		got := c.AppendJSON(nil)
		if string(got) != string(want) {
			t.Fatalf("written as\n%s, want\n%s", got, want)
		}
		var read registry.Record
		if err := json.Unmarshal(want, &read); err != nil {
			t.Fatal(err)
		}
		again, err := registry.ParseRecord(got)
		if err != nil || !reflect.DeepEqual(again, read) {
			t.Fatalf("read as %+v, %v, want %+v", again, err, read)
		}
	})
	in := math("a1") // a usual one is read without encoding/json
	c := registry.NewRecord(&in)
	r := plainjson.NewReader(c.AppendJSON(nil))
	if new(registry.Record).ReadPlain(&r); !r.Whole() {
		t.Errorf("%s was not read in its plain form", c.AppendJSON(nil))
	}
}
