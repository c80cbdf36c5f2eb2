package member

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// TestHeadIsTheCommit: a follower reads what the writer committed.
func TestHeadIsTheCommit(t *testing.T) {
	b := puts(7, "a1", "a2")
	b.Changes[1].New.State = registry.Drained
	b.Changes[1].New.Meta = map[string]string{"path": "/x<y>&\u2028"}
	gone := removals(9, "a1")
	b.Changes = append(b.Changes, gone.Changes...)
	b.Revision, b.Fences = 10, append(gone.Fences, registry.Fence{Key: registry.Key{Service: "_math._tcp", ID: "a3"}, Time: someTime})
	parts, err := under.divide(b, 7, kv.Limits{Ops: 128, Bytes: 1 << 20})
	if err != nil || len(parts) != 1 {
		t.Fatal(parts, err)
	}
	h, err := parseHead(encode(&head{Format: format, Life: 7, Revision: 10, Spares: 3, Time: someTime, Writer: "a", Member: "1f", Batch: &parts[0].batch}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.batch()
	if err != nil {
		t.Fatal(err)
	}
	if got.Revision != 10 || len(got.Changes) != 3 || !reflect.DeepEqual(got.Fences, b.Fences) {
		t.Errorf("read %+v", got)
	}
	for i, c := range got.Changes {
		want := b.Changes[i]
		if c.Revision != want.Revision || !c.Time.Equal(want.Time) || !reflect.DeepEqual(c.New, want.New) || c.Key() != want.Key() {
			t.Errorf("change %d: %+v, want %+v", i, c, want)
		}
	}
}

func TestBadBatches(t *testing.T) {
	record := string(encode(registry.NewRecord(instance("a1", 7))))
	for name, c := range map[string]struct{ changes, word string }{
		"an empty change":        {`[{}]`, "neither"},
		"both at once":           {`[{"instance":` + record + `,"removed":"_math._tcp/a1"}]`, "neither"},
		"an instance to check":   {`[{"instance":{"service":"_math._tcp","id":"a1"}}]`, "host"},
		"another revision":       {`[{"instance":` + strings.Replace(record, `"revision":7`, `"revision":6`, 1) + `}]`, "has revision 6"},
		"a removal of no name":   {`[{"removed":"a1"}]`, "service/id"},
		"a time after the last":  {`[{"time":"9999-12-31T23:59:59-01:00","removed":"_math._tcp/a1"}]`, "year"},
		"a fence of no time":     {`[{"removed":"_math._tcp/a1"}],"fences":[{"service":"_math._tcp","id":"a1","drained":true,"time":"0000-01-01T00:00:00+01:00"}]`, "year"},
		"a fence without a name": {`[{"removed":"_math._tcp/a1"}],"fences":[{"service":"x"}]`, "fence"},
	} {
		h, err := parseHead([]byte(`{"format":1,"life":"9f86d081884c7d65","revision":7,"batch":{"from":6,"changes":` + c.changes + `}}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := h.batch(); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v, want %q", name, err, c.word)
		}
	}
}

// TestFieldsThatAreNotKnownAreLeftAlone: a later dnsd may add some.
func TestFieldsThatAreNotKnownAreLeftAlone(t *testing.T) {
	h, err := parseHead([]byte(`{"format":1,"life":"9f86d081884c7d65","revision":7,"more":[1]}`))
	if err != nil || h.Revision != 7 || h.Batch != nil {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestWhatIsParsedIsBounded: another program may have written the value.
func TestWhatIsParsedIsBounded(t *testing.T) {
	long := []byte(`{"format":1,"life":"9f86d081884c7d65","revision":7,"writer":"` + strings.Repeat("x", longestValue) + `"}`)
	if _, err := parseHead(long); err == nil || !strings.Contains(err.Error(), "octets") {
		t.Errorf("%v", err)
	}
}

// TestHeadsThatCannotBeGoneOnFrom: a number or a time at the end of what there is.
func TestHeadsThatCannotBeGoneOnFrom(t *testing.T) {
	for _, c := range []struct{ field, word string }{
		{`"revision":18446744073709551615`, "revision"},
		{`"revision":4611686018427387905`, "revision"},
		{`"revision":7,"time":"9999-12-31T23:59:59-01:00"`, "year"},
	} {
		if _, err := parseHead([]byte(`{"format":1,"life":"9f86d081884c7d65",` + c.field + `}`)); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", c.field, err)
		}
	}
}

func TestSettingsThatDiffer(t *testing.T) {
	a := map[string]string{"ttl": "5s", "ns": "a b", "same": "1"}
	b := map[string]string{"ttl": "6s", "hostmaster": "x", "same": "1"}
	if got := strings.Join(differing(a, b), " "); got != "hostmaster ns ttl" {
		t.Errorf("%q", got)
	}
	if got := differing(a, a); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// FuzzHead: what is accepted is read as it was written.
func FuzzHead(f *testing.F) {
	parts, err := under.divide(puts(1, "a1"), 1, kv.Limits{Ops: 128, Bytes: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(encode(&head{Format: format, Life: 7, Revision: 2, Time: time.Unix(0, 0).UTC(), Batch: &parts[0].batch})))
	f.Add([]byte(`{"format":1,"life":"9f86d081884c7d65","revision":7,"batch":{"from":6,"changes":[{"removed":"_math._tcp/a1"}],"fences":[{"service":"_math._tcp","id":"a1","drained":true}]}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if got, ok := plainHead(value); ok {
			var want head
			if err := json.Unmarshal(value, &want); err != nil {
				t.Fatalf("%s was read as plain: %v", value, err)
			}
			a, errA := json.Marshal(got)
			b, errB := json.Marshal(&want)
			if string(a) != string(b) || (errA == nil) != (errB == nil) {
				t.Errorf("%s is read as\n%s, %v, want\n%s, %v", value, a, errA, b, errB)
			}
		}
		h, err := parseHead(value)
		if err != nil {
			return
		}
		if h.Batch != nil {
			if b, err := h.batch(); err == nil && (b.Revision != h.Revision || len(b.Changes) > 0 && b.Changes[len(b.Changes)-1].Revision != h.Revision) {
				t.Errorf("%+v is %+v", h, b)
			}
		}
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatalf("what was read cannot be written again: %v", err)
		}
		again, err := parseHead(text)
		if err != nil || again.Revision != h.Revision || again.Life != h.Life {
			t.Errorf("%s, then %v", text, err)
		}
	})
}

// FuzzValues: no value of the store makes a reader panic.
func FuzzValues(f *testing.F) {
	f.Add(under.instance(instance("a1", 7).Key), []byte(encode(registry.NewRecord(instance("a1", 7)))))
	f.Add(under.fence(instance("a1", 7).Key), []byte(`{"service":"_math._tcp","id":"a1","incarnation":7}`))
	f.Add(under.fence(instance("a1", 7).Key), []byte(`{"service":"_math._tcp","id":"a1","incarnation":7,"time":"9999-12-31T23:59:59-01:00"}`))
	f.Add(under.fence(instance("a1", 7).Key), []byte(`{"service":"_math._tcp","id":"a1","incarnation":7,"time":"0000-01-01T00:00:00+01:00"}`))
	f.Add(under.member("1f"), []byte(`{"name":"a"}`))
	f.Add(under.meta(), []byte(`{"format":1,"zone":"svc."}`))
	f.Add(under.spare(0), []byte(`{}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		l := &loaded{peers: map[string]Peer{}}
		err := l.take(under, kv.Pair{Key: key, Value: value, Created: 1, Modified: 1}, map[string]string{})
		l.finish()
		for _, in := range l.instances {
			if under.instance(in.Key) != key || err != nil {
				t.Errorf("%q is %v, %v", key, in.Key, err)
			}
		}
		for _, fence := range l.fences {
			encode(newFence(fence)) // it must not panic
			if under.fence(fence.Key) != key {
				t.Errorf("%q is %v", key, fence.Key)
			}
		}
	})
}

// TestHeadIsThatOfEncodingJSON: both write the same, and read the same.
func TestHeadIsThatOfEncodingJSON(t *testing.T) {
	with := func(b *registry.Batch) *head {
		parts, err := under.divide(b, b.Revision-uint64(len(b.Changes)), kv.Limits{Ops: 128, Bytes: 1 << 20})
		if err != nil || len(parts) != 1 {
			t.Fatal(parts, err)
		}
		return &head{Format: format, Life: 7, Revision: b.Revision, Spares: 3, Time: someTime.Add(time.Nanosecond), Writer: "a", Member: "1f", Batch: &parts[0].batch}
	}
	strange := puts(7, "a1")
	strange.Changes[0].New.Meta = map[string]string{"path": "/x<y>&\u2028"}
	twice := puts(7, "a1", "a2", "a3")
	twice.Changes[2].Time = someTime.Add(time.Second)
	for name, c := range map[string]struct {
		head  *head
		plain bool
	}{
		"without a batch":   {&head{Format: format, Life: 7, Revision: 9, Time: someTime}, true},
		"a skip":            {with(&registry.Batch{Revision: 8}), true},
		"a change":          {with(puts(7, "a1")), true},
		"changes":           {with(twice), true},
		"removals":          {with(&registry.Batch{Revision: 9, Changes: removals(7, "a1", "a2").Changes}), true},
		"removals, fences":  {with(removals(7, "a1", "a2")), false},
		"strange metadata":  {with(strange), false},
		"a strange name":    {&head{Format: format, Life: 7, Revision: 9, Time: someTime, Writer: "ä"}, false},
		"another format":    {&head{Format: format + 1, Life: 7, Revision: 9, Time: someTime}, false},
		"no number of keys": {&head{Format: format, Life: 7, Revision: 9, Spares: -1, Time: someTime}, false},
	} {
		want, err := json.Marshal(c.head)
		if err != nil {
			t.Fatal(err)
		}
		value := encode(c.head)
		if string(value) != string(want) {
			t.Errorf("%s is written as\n%s, want\n%s", name, value, want)
		}
		var slow head
		if err := json.Unmarshal(want, &slow); err != nil {
			t.Fatal(err)
		}
		switch got, ok := plainHead(value); {
		case ok != c.plain:
			t.Errorf("%s: read as plain: %t", name, ok)
		case ok:
			if again, err := json.Marshal(got); err != nil || string(again) != string(want) {
				t.Errorf("%s is read as\n%s, %v, want\n%s", name, again, err, want)
			}
		}
	}
}
