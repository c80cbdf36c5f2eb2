package hook

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rollcall-dns/rollcall/register"
)

// A field that is added to register.Registration must be read here as well.
func TestMembersAreThoseOfTheWire(t *testing.T) {
	var want []string
	body := reflect.TypeFor[register.Registration]()
	for i := range body.NumField() {
		name, _, _ := strings.Cut(body.Field(i).Tag.Get("json"), ",")
		want = append(want, name)
	}
	if got := names(registrationMembers(&register.Registration{})); !slices.Equal(got, want) {
		t.Errorf("members %q, want %q", got, want)
	}
}

func FuzzDecodeRegistration(f *testing.F) {
	for _, s := range []string{
		`{"port":8080}`,
		`{"host":"10.0.0.7","port":8080,"priority":10,"weight":100,"ttl":"5s","lease":"15s","meta":{"version":"1.2"},"incarnation":1}`,
		`{"port":1,"port":2}`, `{"PORT":1}`, `{"port":1} x`, `[]`, `null`, ``, "{\"port\":1,\"a\xff\":1}",
		`{"meta":{"a":{"a":{}}},"port":1}`, `{"port":1e2}`, `{"port":1,"ttl":"9223372036854775807s"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		reg, err := decodeRegistration(body)
		if err != nil {
			var p *problem
			if !errors.As(err, &p) {
				t.Fatalf("%T is no problem: %v", err, err)
			}
			if p.Status != 400 || p.Detail == "" || !utf8.ValidString(p.Detail) {
				t.Fatalf("%d %q", p.Status, p.Detail)
			}
			return
		}
		// An accepted body means the same to the standard library.
		var loose register.Registration
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("taken, but: %v", err)
		}
		if loose.Meta == nil && reg.Meta != nil && len(reg.Meta) == 0 {
			reg.Meta = nil
		}
		if !reflect.DeepEqual(reg, loose) {
			t.Fatalf("got %+v, want %+v", reg, loose)
		}
		// It is the same after encoding and decoding.
		again, err := json.Marshal(reg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeRegistration(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}

func FuzzDecodeRenewal(f *testing.F) {
	for _, s := range []string{`{"instances":["_math._tcp/a1"]}`, `{"instances":[]}`, `{"instances":null}`, `{"instances":[null]}`, `{}`, `{"instances":[1]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := decodeRenewal(body)
		if err != nil {
			var p *problem
			if !errors.As(err, &p) {
				t.Fatalf("%T is no problem: %v", err, err)
			}
			return
		}
		var loose register.RenewRequest
		if err := json.Unmarshal(body, &loose); err != nil || !reflect.DeepEqual(req, loose) {
			t.Fatalf("got %+v, want %+v, %v", req, loose, err)
		}
	})
}
