package registry

import "context"

// Writer takes everything that changes a registry, renewals included. A Registry is a
// Writer of itself. Where several dnsd share one registry, a Writer passes the writes on to
// the one that may write. The methods are described at Registry. Besides the errors there,
// every method may return ErrNotWriter, and ErrUncertain if the registry is shared.
type Writer interface {
	Register(ctx context.Context, in Instance) (Receipt, error)
	Renew(ctx context.Context, key Key, incarnation uint64) (Receipt, error)
	RenewAll(ctx context.Context, all []Renewal) (Renewals, error)
	Deregister(ctx context.Context, key Key, incarnation *uint64) (Receipt, error)
	Drain(ctx context.Context, key Key, sticky bool) (Receipt, error)
	Undrain(ctx context.Context, key Key) (Receipt, error)
	Unfence(ctx context.Context, key Key) (Receipt, error)
	ReleaseGuard(ctx context.Context, service string) (Receipt, error)
	ConnectionLost(ctx context.Context, key Key, incarnation uint64) (Receipt, error)
	Skip(ctx context.Context) (Receipt, error)
}

var _ Writer = (*Registry)(nil)

// Tests: receipt_test.go.
