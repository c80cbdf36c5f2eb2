package register

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestRegistrationLeavesDefaultsToTheHook(t *testing.T) {
	got, err := json.Marshal(Registration{Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"port":8080}`; string(got) != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestRegistrationOnTheWire(t *testing.T) {
	in := Registration{
		Host: "10.0.0.7", Port: 8080, Priority: Uint16(0), Weight: Uint16(100),
		TTL: Duration(5 * time.Second), Lease: Duration(15 * time.Second),
		Meta: map[string]string{"version": "1.2"}, Incarnation: 1,
	}
	want := `{"host":"10.0.0.7","port":8080,"priority":0,"weight":100,"ttl":"5s","lease":"15s","meta":{"version":"1.2"},"incarnation":1}`
	got, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	var back Registration
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, back) {
		t.Fatalf("got %+v, want %+v", back, in)
	}
}

func TestPublishedNamesEveryField(t *testing.T) {
	var none Duration
	got, err := json.Marshal(Published{ID: "a1", Host: "10.0.0.7", Port: 1, State: InstanceUp, ExpiresIn: &none, RenewAfter: Duration(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"a1","host":"10.0.0.7","port":1,"priority":0,"weight":0,"ttl":"0s","lease":"0s","incarnation":0,"state":"up","expires_in":"0s","revision":0,"renew_after":"1s"}`
	if string(got) != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func FuzzPublished(f *testing.F) {
	f.Add([]byte(`{"id":"a1","host":"10.0.0.7","port":1,"ttl":"5s","lease":"15s","meta":{"a":"b"},"state":"up","renew_after":"5s"}`))
	f.Add([]byte(`{"port":-1}`))
	f.Add([]byte(`{"ttl":5}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Published
		if json.Unmarshal(data, &p) != nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Published
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatal(err)
		}
		if len(p.Meta) == 0 { // an empty object and no object are the same
			p.Meta, back.Meta = nil, nil
		}
		if !reflect.DeepEqual(p, back) {
			t.Fatalf("%+v became %+v", p, back)
		}
	})
}
