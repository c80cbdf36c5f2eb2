package cluster

import (
	"context"
	"errors"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// errBroken is an answer that etcd does not give.
var errBroken = errors.New("the answer is not one of etcd's")

// header is that of an answer.
func header(h *pb.ResponseHeader) (kv.Header, error) {
	if h == nil {
		return kv.Header{}, &fault{kind: kv.ErrUnavailable, op: "read an answer", cause: errBroken}
	}
	return kv.Header{Cluster: h.GetClusterId(), Revision: h.GetRevision()}, nil
}

// pair takes over an etcd's pair. Nothing else has its octets.
func pair(p *mvccpb.KeyValue) kv.Pair {
	return kv.Pair{
		Key: string(p.GetKey()), Value: p.GetValue(),
		Created: p.GetCreateRevision(), Modified: p.GetModRevision(), Lease: kv.LeaseID(p.GetLease()),
	}
}

// Get implements [kv.Store].
func (c *client) Get(ctx context.Context, key string) (*kv.Pair, kv.Header, error) {
	var answer *pb.RangeResponse
	err := c.read(ctx, "get", func(ctx context.Context, s *server) (err error) {
		answer, err = s.kv.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
		return err
	})
	if err != nil {
		return nil, kv.Header{}, err
	}
	h, err := header(answer.GetHeader())
	if err != nil || len(answer.GetKvs()) == 0 {
		return nil, h, err
	}
	p := pair(answer.GetKvs()[0])
	if p.Key != key {
		return nil, h, &fault{kind: kv.ErrUnavailable, op: "get", cause: errBroken}
	}
	return &p, h, nil
}

// pageSize is how many keys one request of a range asks for. For each page, etcd counts
// all keys after it: a million keys in pages of 1,000 took a minute. The values here are
// under 2 KB, and most have 200 octets, so a page is under 20 MB, and mostly 2 MB.
const pageSize = 10_000

// Range implements [kv.Store]. It reads page after page, all of the same revision.
func (c *client) Range(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (kv.Header, error) {
	from, end := span(prefix)
	h := kv.Header{Revision: at}
	for {
		var answer *pb.RangeResponse
		err := c.read(ctx, "range", func(ctx context.Context, s *server) (err error) {
			answer, err = s.kv.Range(ctx, &pb.RangeRequest{Key: from, RangeEnd: end, Revision: h.Revision, Limit: pageSize})
			return err
		})
		if err != nil {
			return h, err
		}
		got, err := header(answer.GetHeader())
		if err != nil {
			return h, err
		}
		h.Cluster = got.Cluster
		if h.Revision == 0 {
			h.Revision = got.Revision
		}
		for _, p := range answer.GetKvs() {
			if !strings.HasPrefix(string(p.GetKey()), prefix) {
				return h, &fault{kind: kv.ErrUnavailable, op: "range", cause: errBroken}
			}
			if err := each(pair(p)); err != nil {
				return h, err
			}
		}
		n := len(answer.GetKvs())
		if !answer.GetMore() || n == 0 {
			return h, nil
		}
		from = append(answer.GetKvs()[n-1].GetKey(), 0) // the next possible key
	}
}

// span is the range of the keys that begin with prefix, in etcd's terms.
func span(prefix string) (from, end []byte) {
	if prefix == "" {
		return []byte{0}, []byte{0} // etcd's way to say all
	}
	end = []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return []byte(prefix), end[:i+1]
		}
	}
	return []byte(prefix), []byte{0} // to the end of all keys
}

// Tests: read_test.go, conformance_test.go.
