package boltstore

import (
	"bytes"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func samples() (changes []registry.Change) {
	small := &registry.Instance{Key: registry.Key{Service: "_a._tcp", ID: "b"}, Host: "::1", Port: 1, TTL: time.Second, Lease: 2 * time.Second}
	full := &registry.Instance{
		Key: registry.Key{Service: "_math._tcp", ID: "a1"}, Host: "a1.example.net.", Port: 65535, Priority: 65535, Weight: 65535,
		TTL: 12 * time.Hour, Lease: 24 * time.Hour, Meta: map[string]string{"version": "1.2", "x": ""},
		Incarnation: 1<<64 - 1, State: registry.Drained, Sticky: true, Revision: 1<<64 - 1,
	}
	other := *full
	other.State, other.Meta, other.Drain = registry.Suspect, nil, true
	now := time.Unix(1_700_000_000, 123)
	return []registry.Change{{Time: now, New: small}, {Time: now, Old: full, New: &other}, {Time: now, Old: full}}
}

// Any octets are read or refused. A record that was read is written as it was.
func FuzzRecord(f *testing.F) {
	for _, c := range samples() {
		if c.New != nil {
			f.Add(appendKey(nil, c.Key()), appendInstance(nil, c.New))
		}
		f.Add(appendKey(nil, c.Key()), appendFence(nil, &registry.Fence{Key: c.Key(), Incarnation: 7, Time: c.Time}))
		f.Add(appendKey(nil, c.Key()), appendFence(nil, &registry.Fence{Key: c.Key(), Drained: true, Time: c.Time}))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if service, id, ok := splitKey(key); ok {
			if in, err := parseInstance(string(service), id, value); err == nil {
				again, err := parseInstance(string(service), id, appendInstance(nil, in))
				if err != nil || !bytes.Equal(appendInstance(nil, again), appendInstance(nil, in)) || !bytes.Equal(appendKey(nil, in.Key), key) {
					t.Errorf("%#v became %#v, %v", in, again, err)
				}
			}
		}
		if fence, err := parseFence(key, value); err == nil {
			if again, err := parseFence(appendKey(nil, fence.Key), appendFence(nil, &fence)); err != nil || again != fence {
				t.Errorf("%#v became %#v, %v", fence, again, err)
			}
		}
		if v := unseal(key, value); v != nil && !bytes.Equal(seal(key, bytes.Clone(v), 0), value) {
			t.Errorf("unsealed %x from %x", v, value)
		}
		parseState(value)
	})
}

func TestSealBindsKeyAndValue(t *testing.T) {
	sealed := seal([]byte("key"), []byte("value"), 0)
	if got := unseal([]byte("key"), sealed); string(got) != "value" {
		t.Errorf("unseal = %q", got)
	}
	if unseal([]byte("kez"), sealed) != nil {
		t.Error("a value passes under another key")
	}
	for i := range sealed {
		sealed[i] ^= 1
		if unseal([]byte("key"), sealed) != nil {
			t.Errorf("byte %d flipped, and passed", i)
		}
		sealed[i] ^= 1
	}
	if unseal([]byte("key"), sealed[:3]) != nil {
		t.Error("three bytes passed")
	}
}
