package kv

import (
	"errors"
	"fmt"
)

// Size is what Limits.Bytes bounds: the octets of all keys and values.
func (t Txn) Size() int {
	n := 0
	for _, c := range t.If {
		n += len(c.Key)
	}
	for _, op := range t.Then {
		n += len(op.Key) + len(op.Value)
	}
	return n
}

// Check returns nil, ErrTooLarge, or what makes the transaction wrong for every store.
// Each Store calls it before it sends a transaction.
func (t Txn) Check(l Limits) error {
	if n := max(len(t.If), len(t.Then)); n > l.Ops {
		return fmt.Errorf("kv: transaction of %d conditions and %d operations, limit %d of each: divide it: %w", len(t.If), len(t.Then), l.Ops, ErrTooLarge)
	}
	if n := t.Size(); n > l.Bytes {
		return fmt.Errorf("kv: transaction of %d octets, limit %d: divide it: %w", n, l.Bytes, ErrTooLarge)
	}
	for _, c := range t.If {
		if c.Key == "" {
			return errors.New("kv: a condition of the transaction has no key")
		}
	}
	seen := make(map[string]struct{}, len(t.Then))
	for _, op := range t.Then {
		if op.Key == "" {
			return errors.New("kv: an operation of the transaction has no key")
		}
		if _, twice := seen[op.Key]; twice {
			return fmt.Errorf("kv: key %q is twice in the transaction: divide it", op.Key)
		}
		seen[op.Key] = struct{}{}
	}
	return nil
}

// Puts says whether the transaction puts a key: then it needs room in the store.
func (t Txn) Puts() bool {
	for _, op := range t.Then {
		if !op.Delete {
			return true
		}
	}
	return false
}
