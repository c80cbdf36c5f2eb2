package resolver

import (
	"context"
	"strings"
	"testing"
)

func TestStaticYieldsOnceAndEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var states []State
	for s := range Static("10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80", "db.example.com:5432").Watch(ctx, "_any._tcp") {
		states = append(states, s)
		cancel()
	}
	if len(states) != 1 {
		t.Fatalf("%d states, want 1", len(states))
	}
	var got []string
	for _, ep := range states[0].Endpoints {
		got = append(got, ep.Addr+" "+ep.Target)
		if ep.Weight != 1 || ep.Priority != 0 {
			t.Errorf("%v: want priority 0, weight 1", ep)
		}
	}
	want := "10.0.0.1:80 10.0.0.1, 10.0.0.2:80 10.0.0.2, db.example.com:5432 db.example.com"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("endpoints %s\nwant %s", s, want)
	}
}

func TestStaticEndsWithBreak(t *testing.T) {
	t.Parallel()
	for range Static("10.0.0.1:80").Watch(t.Context(), "x") {
		break
	}
}

func TestStaticNamesTheBadAddressAndKeepsTheGood(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"10.0.0.1", "10.0.0.1:0", "10.0.0.1:http", "10.0.0.1:65536", ":80", "::1:80"} {
		for s := range Static("[::1]:80", bad).Watch(t.Context(), "x") {
			if s.Err == nil || !strings.Contains(s.Err.Error(), bad) {
				t.Errorf("%s: error %v does not name it", bad, s.Err)
			}
			if len(s.Endpoints) != 1 || s.Endpoints[0].Addr != "[::1]:80" {
				t.Errorf("%s: endpoints %v", bad, s.Endpoints)
			}
			break
		}
	}
}
