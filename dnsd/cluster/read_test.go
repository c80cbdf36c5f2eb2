package cluster

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func TestTheSpanOfAPrefix(t *testing.T) {
	for prefix, want := range map[string][2]string{
		"":           {"\x00", "\x00"},
		"/a/":        {"/a/", "/a0"},
		"a\xff":      {"a\xff", "b"},
		"\xff\xff":   {"\xff\xff", "\x00"},
		"\x00":       {"\x00", "\x01"},
		"a\xfe\xff0": {"a\xfe\xff0", "a\xfe\xff1"},
	} {
		from, end := span(prefix)
		if got := [2]string{string(from), string(end)}; got != want {
			t.Errorf("%q: %q, want %q", prefix, got, want)
		}
	}
}

// TestTheSpanOfAnyPrefix: it has the keys that begin with the prefix, and no others.
func TestTheSpanOfAnyPrefix(t *testing.T) {
	octet := rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff})
	text := func(least int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(octet, least, 4).Draw(t, "octets")) })
	}
	rapid.Check(t, func(t *rapid.T) {
		prefix, key := text(0).Draw(t, "prefix"), text(1).Draw(t, "key")
		if rapid.Bool().Draw(t, "below") {
			key = prefix + key
		}
		from, end := span(prefix)
		in := key >= string(from) && (string(end) == "\x00" || key < string(end))
		if in != strings.HasPrefix(key, prefix) {
			t.Fatalf("span(%q) is %q to %q, and %q is in it: %v", prefix, from, end, key, in)
		}
	})
}

// TestARangeOfManyPagesIsOfOneRevision: every page after the first is written to while it
// is read.
func TestARangeOfManyPagesIsOfOneRevision(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	s := e.open(t)
	const n = 2*pageSize + 1
	for i := 0; i < n; i += etcdOps {
		var txn kv.Txn
		for k := i; k < min(n, i+etcdOps); k++ {
			txn.Then = append(txn.Then, kv.Op{Key: fmt.Sprintf("/r/%05d", k), Value: []byte("old")})
		}
		must(t, s, txn)
	}
	must(t, s, put("/r", "before", "/r0", "after"))
	i := 0
	h, err := s.Range(t.Context(), "/r/", 0, func(p kv.Pair) error {
		if want := fmt.Sprintf("/r/%05d", i); p.Key != want || string(p.Value) != "old" {
			return fmt.Errorf("%s has %s, want %s", p.Key, p.Value, want)
		}
		if i++; i == 1 {
			must(t, s, put(fmt.Sprintf("/r/%05d", n-1), "new", "/r/99999", "new"))
		}
		return nil
	})
	if err != nil || i != n {
		t.Errorf("%d keys, %v", i, err)
	}
	if p, _, err := s.Get(t.Context(), "/r0"); err != nil || p.Modified != h.Revision {
		t.Errorf("the revision is %d, and that before it %+v, %v", h.Revision, p, err)
	}
}

func TestAnswersThatEtcdDoesNotGive(t *testing.T) {
	for name, answer := range map[string]*pb.RangeResponse{
		"no header":  {},
		"other keys": {Header: &pb.ResponseHeader{Revision: 1}, Kvs: []*mvccpb.KeyValue{{Key: []byte("b")}}},
		"no pair":    {Header: &pb.ResponseHeader{Revision: 1}, Kvs: []*mvccpb.KeyValue{{}}},
	} {
		f := (&fake{}).start(t)
		s := f.open(t)
		f.get = func(*pb.RangeRequest) (*pb.RangeResponse, error) { return answer, nil }
		if _, err := s.Range(t.Context(), "a", 0, func(kv.Pair) error { return nil }); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("range, %s: %v", name, err)
		}
		if _, _, err := s.Get(t.Context(), "a"); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("get, %s: %v", name, err)
		}
	}
}

// TestARangeEndsThoughEtcdSaysThereIsMore: a page without keys is the last one.
func TestARangeEndsThoughEtcdSaysThereIsMore(t *testing.T) {
	f := (&fake{}).start(t)
	s := f.open(t)
	f.get = func(*pb.RangeRequest) (*pb.RangeResponse, error) {
		return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}, More: true}, nil
	}
	if _, err := s.Range(t.Context(), "a", 0, nil); err != nil {
		t.Error(err)
	}
}
