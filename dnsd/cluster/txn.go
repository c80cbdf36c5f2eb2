package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Txn implements [kv.Store].
func (c *client) Txn(ctx context.Context, t kv.Txn) (kv.Result, error) {
	if err := t.Check(c.limits); err != nil {
		return kv.Result{}, err
	}
	request := &pb.TxnRequest{Compare: compares(t.If)}
	for _, o := range t.Then {
		request.Success = append(request.Success, operation(o))
	}
	var answer *pb.TxnResponse
	err := c.write(ctx, "txn", func(ctx context.Context, s *server) (err error) {
		answer, err = s.kv.Txn(ctx, request)
		return err
	})
	if errors.Is(err, kv.ErrNoSpace) {
		err = c.notDone(ctx, t, err)
	}
	if err != nil {
		return kv.Result{}, err
	}
	h, err := header(answer.GetHeader())
	return kv.Result{Header: h, Done: answer.GetSucceeded()}, err
}

func compares(conditions []kv.Compare) (list []*pb.Compare) {
	for _, i := range conditions {
		p := &pb.Compare{Key: []byte(i.Key), Result: pb.Compare_EQUAL}
		if i.Created {
			p.Target, p.TargetUnion = pb.Compare_CREATE, &pb.Compare_CreateRevision{CreateRevision: i.Is}
		} else {
			p.Target, p.TargetUnion = pb.Compare_MOD, &pb.Compare_ModRevision{ModRevision: i.Is}
		}
		list = append(list, p)
	}
	return list
}

func operation(o kv.Op) *pb.RequestOp {
	if o.Delete {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(o.Key)}}}
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(o.Key), Value: o.Value, Lease: int64(o.Lease)}}}
}

// notDone finds out whether a transaction to which etcd answered "no space" was done.
// Etcd counts twice: before it proposes a write, and when it applies it. The second time
// it says "no space" of a write that it has done. The fault is noSpace if the write was
// not done, and uncertain else.
func (c *client) notDone(ctx context.Context, t kv.Txn, noSpace error) error {
	put, was := witness(t)
	if put == nil {
		return noSpace
	}
	p, _, err := c.Get(ctx, put.Key)
	switch {
	case err != nil:
		return &fault{kind: kv.ErrUncertain, op: "txn", cause: fmt.Errorf("%w, and then: %w", noSpace, err)}
	case p == nil, was != nil && p.Modified == was.Is, was == nil && !bytes.Equal(p.Value, put.Value):
		return noSpace
	}
	return &fault{kind: kv.ErrUncertain, op: "txn", cause: noSpace}
}

// witness chooses a key from which can be seen whether a transaction was done: a put, and
// the condition that the key has a revision. Without such a condition, the value has to
// tell.
func witness(t kv.Txn) (put *kv.Op, was *kv.Compare) {
	for i, o := range t.Then {
		if o.Delete {
			continue
		}
		put = &t.Then[i]
		for j, c := range t.If {
			if c.Key == o.Key && !c.Created && c.Is != 0 {
				return put, &t.If[j]
			}
		}
	}
	return put, nil
}

// Tests: conformance_test.go, quota_test.go.
