package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// What one member sends, another reads as it was meant. Batches have several operations,
// so that one cannot be taken for another.
func TestOperationsArriveAsTheyWereSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.SliceOfN(rapid.Custom(anyOperation), 0, 5).Draw(t, "operations")
		var lines [][]byte
		for i := range sent {
			lines = append(lines, marshal(sent[i].json()))
		}
		got, errs, err := readBatch(appendBatch(nil, lines))
		if err != nil || len(got) != len(sent) {
			t.Fatalf("readBatch = %d operations, %v", len(got), err)
		}
		for i := range got {
			want := sent[i]
			if want.have != nil {
				want.haveRevision, want.have = want.have.Revision, nil
			}
			if errs[i] != nil || !reflect.DeepEqual(got[i], want) {
				t.Errorf("operation %s\n got %+v, %v\nwant %+v", lines[i], got[i], errs[i], want)
			}
		}
	})
}

func TestResultsArriveAsTheyWereSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var of []*operation
		var sent []result
		var lines [][]byte
		for range rapid.IntRange(0, 5).Draw(t, "n") {
			o := anyOperation(t)
			r := anyResult(t, &o)
			arrived := o
			if o.have != nil {
				arrived.haveRevision = o.have.Revision
			}
			of, sent, lines = append(of, &o), append(sent, r), append(lines, marshal(r.json(&arrived)))
		}
		got, errs, err := readResults(appendResults(nil, lines), of)
		if err != nil || len(got) != len(sent) {
			t.Fatalf("readResults = %d results, %v", len(got), err)
		}
		for i := range got {
			if errs[i] != nil {
				t.Fatalf("result %s: %v", lines[i], errs[i])
			}
			sameError(t, got[i].err, sent[i].err)
			g, w := got[i], sent[i]
			g.err, w.err = nil, nil
			if !reflect.DeepEqual(g, w) {
				t.Errorf("result %s of %+v\n got %+v\nwant %+v", lines[i], of[i], g, w)
			}
		}
	})
}

// sameError checks that got is to its callers what want is.
func sameError(t *rapid.T, got, want error) {
	if want == nil {
		if got != nil {
			t.Errorf("got the error %v", got)
		}
		return
	}
	if got == nil || got.Error() != want.Error() {
		t.Errorf("got the error %v\n          want %v", got, want)
	}
	for _, s := range sentinels {
		if errors.Is(got, s.err) != errors.Is(want, s.err) {
			t.Errorf("%v is %v: %v", got, s.err, errors.Is(got, s.err))
		}
	}
	sameAs[*registry.FieldError](t, got, want)
	sameAs[*registry.FencedError](t, got, want)
	sameAs[*registry.LimitError](t, got, want)
}

func sameAs[E error](t *rapid.T, got, want error) {
	var g, w E
	if errors.As(got, &g) != errors.As(want, &w) || !reflect.DeepEqual(g, w) {
		t.Errorf("%v is as %T %+v, want %+v", got, g, g, w)
	}
}

// What a newer version sends harms nothing that this one knows.
func TestUnknownThingsHarmNothing(t *testing.T) {
	body := `{"version":1,"color":{"a":[1,2]},"operations":[
		{"do":"renew","instance":"_math._tcp/a1","incarnation":7,"color":"red"},
		{"do":"paint","instance":"_math._tcp/a1","color":{"red":[]}},
		{"do":"renew","instance":"_math._tcp/a2","incarnation":"seven"},
		{"do":"skip"}],"more":true}`
	all, errs, err := readBatch([]byte(body))
	if err != nil || len(all) != 4 {
		t.Fatalf("readBatch = %v, %v", all, err)
	}
	if errs[0] != nil || all[0].key.ID != "a1" || *all[0].incarnation != 7 {
		t.Errorf("the renewal is %+v, %v", all[0], errs[0])
	}
	if !errors.Is(errs[1], errUnsupported) || !errors.Is(errs[1], registry.ErrNotWriter) || !strings.Contains(errs[1].Error(), "paint") {
		t.Errorf("an unknown kind: %v; want errUnsupported with its name", errs[1])
	}
	if !errors.Is(errs[2], errMalformed) {
		t.Errorf("a field of another type: %v; want errMalformed", errs[2])
	}
	if errs[3] != nil || all[3].kind != skip {
		t.Errorf("what comes after these is %+v, %v", all[3], errs[3])
	}

	answer := `{"color":1,"results":[{"receipt":{"did":"painted","revision":1}},{"error":{"text":"red","kinds":["color","notFound"]}},{"receipt":{"did":"renewed","revision":2,"count":1,"color":1}}]}`
	o := &operation{kind: skip}
	results, errs, err := readResults([]byte(answer), []*operation{o, o, o})
	if err != nil || errs[0] == nil || errs[1] != nil || errs[2] != nil {
		t.Fatalf("readResults = %v, %v", errs, err)
	}
	if !errors.Is(results[1].err, registry.ErrNotFound) || results[1].err.Error() != "red" || results[2].Did != registry.Renewed {
		t.Errorf("the results are %+v", results)
	}
}

// Writers of the first release read these fields of a registration. An older writer
// drops any other, so it must refuse the operation: the word of one with such a field is
// another. State, Sticky, Revision and Behind are not for Register.
func TestNoFieldOfARegistrationIsDroppedByAnOlderWriter(t *testing.T) {
	first := []string{"Service", "ID", "Host", "Port", "Priority", "Weight", "TTL", "Lease", "Meta", "Incarnation", "State", "Sticky", "Revision", "Behind"}
	words := map[string]kind{"Drain": "register+drain"}
	fields := reflect.TypeFor[registry.Record]()
	for i := range fields.NumField() {
		var r registry.Record
		name := fields.Field(i).Name
		switch f := reflect.ValueOf(&r).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string]string{"x": "y"}))
		case reflect.Int64:
			f.SetInt(1)
		case reflect.Uint8, reflect.Uint16, reflect.Uint64:
			f.SetUint(1)
		default:
			t.Fatalf("%s: this test can set no %v", name, f.Kind())
		}
		want := register
		if !slices.Contains(first, name) {
			want = words[name]
		}
		o := operation{kind: register, instance: r.Registration()}
		if got := o.json().Do; got != want {
			t.Errorf("a registration with %s is sent as %q; want %q: an older writer drops the field", name, got, want)
		}
	}
	_, errs, err := readBatch([]byte(`{"operations":[{"do":"register+color","record":{"color":"red"}},{"do":"register+drain","record":{}}]}`))
	if err != nil || !errors.Is(errs[0], errUnsupported) || !strings.Contains(errs[0].Error(), "register+color") || !errors.Is(errs[1], errMalformed) {
		t.Errorf("words that do not fit: %v, %v", errs, err)
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	for _, body := range []string{`{"version":2,"operations":[]}`, `{"operations":[],"version":2}`} {
		if _, _, err := readBatch([]byte(body)); !errors.Is(err, errUnsupported) || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestMalformedBatches(t *testing.T) {
	many := `{"version":1,"operations":[` + strings.Repeat(`{"do":"skip"},`, mostOperations) + `{"do":"skip"}]}`
	for _, body := range []string{
		``, `null`, `[]`, `7`, `{`, `{"version":1}`, `{"operations":{}}`, `{"operations":[`, `{"operations":[{]}`, `{"operations":[{}`,
		`{"operations":[{}]`, `{"operations":[]} {}`, `{"operations":[]}x`, `{"operations":[],"operations":[]}`, `{"version":"1","operations":[]}`,
		`{"operations":null}`, many,
	} {
		if all, _, err := readBatch([]byte(body)); !errors.Is(err, errMalformed) {
			t.Errorf("%.60s: %d operations, %v; want errMalformed", body, len(all), err)
		}
	}
	for _, o := range []string{
		`{}`, `7`, `null`, `{"do":"register"}`, `{"do":"renew","instance":"_math._tcp/a1"}`, `{"do":"renew","incarnation":1}`,
		`{"do":"renew","instance":"_math._tcp/a1","incarnation":-1}`, `{"do":"drain","instance":"math/a1"}`, `{"do":"deregister","instance":"_math._tcp"}`,
		`{"do":"renewAll","renewals":["_math._tcp/a1?incarnation=x"]}`, `{"do":"renewAll","renewals":["_math._tcp/a1?x=1"]}`, `{"do":"renewAll","renewals":["a","_math._tcp/a1"]}`,
		`{"do":"releaseGuard","service":"math"}`,
	} {
		_, errs, err := readBatch([]byte(`{"operations":[` + o + `]}`))
		if err != nil || len(errs) != 1 || errs[0] == nil {
			t.Errorf("%s: %v, %v; want an error of the operation", o, errs, err)
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	o := &operation{kind: skip}
	for _, body := range []string{``, `{}`, `{"results":[]}`, `{"results":[{"receipt":{"did":"nothing"}},{"receipt":{"did":"nothing"}}]}`, `{"results":[{"receipt":{"did":"nothing"}}`} {
		if _, _, err := readResults([]byte(body), []*operation{o}); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v; want errMalformed", body, err)
		}
	}
	for _, r := range []string{
		`{}`, `null`, `{"receipt":{}}`, `{"receipt":{"did":"nothing","count":-1}}`, `{"receipt":{"did":"nothing","same":true,"state":"up"}}`,
		`{"receipt":{"did":"nothing","instance":{"service":"_math._tcp"}}}`, `{"receipt":{"did":"nothing","unknown":["a"]}}`, `{"receipt":{"did":"nothing","expiresIn":"-1s"}}`,
		`{"error":{"text":"x","fenced":{"instance":"a"}}}`, `{"error":7}`,
	} {
		_, errs, err := readResults([]byte(`{"results":[`+r+`]}`), []*operation{o})
		if err != nil || errs[0] == nil {
			t.Errorf("%s: %v, %v; want an error of the result", r, errs, err)
		}
	}
}

// A receipt without the instance that its caller uses, or with another, is no receipt.
func TestReceiptsNameTheirInstance(t *testing.T) {
	record := string(marshal(registry.NewRecord(&registry.Instance{Key: key("a2"), Host: "10.0.0.7", Port: 9000, TTL: time.Second, Lease: 2 * time.Second, Revision: 9})))
	for _, k := range []kind{register, renew, renewAll, deregister, drain, undrain, unfence, releaseGuard, connectionLost, skip} {
		o := &operation{kind: k, key: key("a1")}
		if k == renewAll || k == releaseGuard || k == skip {
			o.key = registry.Key{}
		}
		bare := k == renewAll || k == unfence || k == releaseGuard || k == connectionLost || k == skip
		for receipt, want := range map[string]bool{
			`{"did":"nothing","revision":9}`:                           bare,
			`{"did":"forgotten","revision":9}`:                         bare || k == undrain,
			`{"did":"nothing","revision":9,"instance":null}`:           bare,
			`{"did":"nothing","revision":9,"instance":` + record + `}`: false,
		} {
			_, errs, err := readResults([]byte(`{"results":[{"receipt":`+receipt+`}]}`), []*operation{o})
			if err != nil || (errs[0] == nil) != want {
				t.Errorf("%s: %s: %v, %v; want success: %v", k, receipt, errs, err, want)
			}
		}
	}
}

// An error of another member goes to logs and into answers.
func TestErrorTextIsBounded(t *testing.T) {
	long := strings.Repeat("ä", maxText)
	err, bad := fail(fmt.Errorf("%s: %w", long, &registry.FieldError{Field: "meta", Value: long, Problem: long})).parse()
	var field *registry.FieldError
	if bad != nil || len(err.Error()) > maxText || !errors.As(err, &field) || len(field.Value) > maxText || len(field.Problem) > maxText {
		t.Errorf("%d octets, %v", len(err.Error()), bad)
	}
}

// FuzzBatch: whatever arrives, what is understood is understood in the same way after it
// was written again.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(`{"version":1,"operations":[{"do":"renew","instance":"_math._tcp/a1","incarnation":7,"have":9},{"do":"renewAll","renewals":["_math._tcp/a1?incarnation=7"]}]}`))
	f.Add([]byte(`{"operations":[{"do":"register","record":{"service":"_math._tcp","id":"a1","host":"10.0.0.7","port":9000,"ttl":"5s","lease":"15s","meta":{"a":"b"}}},{"do":"releaseGuard"}]}`))
	f.Add([]byte(`{"operations":[{"do":"deregister","instance":"_math._tcp/a1"},{"do":"drain","instance":"_math._tcp/a1","sticky":true}],"x":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		all, errs, err := readBatch(body)
		if err != nil {
			return
		}
		if len(all) != len(errs) || len(all) > mostOperations {
			t.Fatalf("%d operations, %d errors", len(all), len(errs))
		}
		var lines [][]byte
		var good []operation
		for i, o := range all {
			if errs[i] == nil {
				good, lines = append(good, o), append(lines, marshal(o.json()))
			}
		}
		again, errs, err := readBatch(appendBatch(nil, lines))
		if err != nil || len(again) != len(good) {
			t.Fatalf("again: %d of %d, %v", len(again), len(good), err)
		}
		for i := range again {
			good[i].haveRevision = 0 // it is made of have
			if errs[i] != nil || !bytes.Equal(marshal(again[i].json()), marshal(good[i].json())) {
				t.Errorf("again: %+v, %v\nwant %+v", again[i], errs[i], good[i])
			}
		}
	})
}

func FuzzResults(f *testing.F) {
	f.Add([]byte(`{"results":[{"receipt":{"did":"created","revision":12,"instance":{"service":"_math._tcp","id":"a1","host":"10.0.0.7","port":9000,"ttl":"5s","lease":"15s","revision":12,"state":"up"},"expiresIn":"15s","count":1}},{"error":{"text":"x","kinds":["notFound"]},"revision":3}]}`))
	f.Add([]byte(`{"results":[{"receipt":{"did":"renewed","revision":9,"same":true,"state":"drained","count":1}},{"error":{"text":"x","fenced":{"instance":"_math._tcp/a1","live":3}},"receipt":{"did":"removed","revision":3}}]}`))
	have := &registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a1"}, Host: "10.0.0.7", Port: 9000, TTL: time.Second, Lease: 2 * time.Second, Revision: 9}
	of := []*operation{{kind: renew, key: have.Key, have: have, haveRevision: 9}, {kind: deregister}}
	f.Fuzz(func(t *testing.T, body []byte) {
		all, errs, err := readResults(body, of)
		if err != nil {
			return
		}
		var lines [][]byte
		for i := range all {
			if errs[i] != nil {
				return
			}
			if in := all[i].Instance; in != nil && (in.Port == 0 || in.Lease < 2*time.Second || in.TTL < time.Second) {
				t.Errorf("an instance that cannot be published: %+v", in)
			}
			lines = append(lines, marshal(all[i].json(of[i])))
		}
		again, errs, err := readResults(appendResults(nil, lines), of)
		if err != nil || errs[0] != nil || errs[1] != nil {
			t.Fatalf("%s\nagain: %v, %v", lines, errs, err)
		}
		for i := range again {
			if !reflect.DeepEqual(again[i].Renewals, all[i].Renewals) || (again[i].err == nil) != (all[i].err == nil) {
				t.Errorf("again: %+v\nwant %+v", again[i], all[i])
			}
		}
	})
}

func TestContextErrorsAreThoseOfPackageContext(t *testing.T) {
	var f failure
	if err := json.Unmarshal(marshal(fail(fmt.Errorf("registry: %w", context.DeadlineExceeded))), &f); err != nil {
		t.Fatal(err)
	}
	if err, bad := f.parse(); bad != nil || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", err, bad)
	}
}
