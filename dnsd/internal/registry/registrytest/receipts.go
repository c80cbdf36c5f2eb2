package registrytest

import (
	"context"
	"errors"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// write does a request, and compares its answer with the model, and its receipt with
// what changed in the registry.
func (h *history) write(rt *rapid.T, what string, want answer, do func(context.Context) (registry.Receipt, error)) {
	before := h.r.Revision()
	done, err := do(context.Background())
	got := answerOf(rt, err)
	if got == ok && done.Did == registry.Created {
		got = created
	}
	if got != want {
		rt.Fatalf("%s: answer %d, want %d", what, got, want)
	}
	after := h.r.Revision()
	fits := false
	switch done.Did {
	case registry.Created, registry.Changed:
		fits = before < done.Revision && done.Revision <= after && done.Revision == done.Instance.Revision
	case registry.Removed:
		fits = before < done.Revision && done.Revision <= after && done.Instance.Revision <= before
	case registry.Renewed:
		fits = before == after && done.Revision == done.Instance.Revision && done.ExpiresIn == done.Instance.Lease
	case registry.Forgotten:
		fits = before == after && done.Revision == after && done.Instance == nil
	case registry.Nothing:
		fits = before == after && (err != nil || done.Revision == done.Instance.Revision)
	}
	if !fits {
		rt.Fatalf("%s: receipt %+v, %v; the registry was at revision %d and is now at %d", what, done, err, before, after)
	}
	if standing, ok := h.r.Instance(keyOf(done)); ok && done.Did != registry.Removed && standing.ExpiresIn != done.ExpiresIn {
		rt.Fatalf("%s: the receipt says %v are left of the lease, the registry %v", what, done.ExpiresIn, standing.ExpiresIn)
	}
}

func keyOf(done registry.Receipt) registry.Key {
	if done.Instance == nil {
		return registry.Key{}
	}
	return done.Instance.Key
}

func answerOf(rt *rapid.T, err error) answer {
	var f *registry.FencedError
	switch {
	case err == nil:
		return ok
	case errors.Is(err, registry.ErrNotFound):
		return notFound
	case errors.As(err, &f):
		return fenced
	case errors.Is(err, registry.ErrFull):
		return full
	case errors.Is(err, registry.ErrNoSpace):
		return noSpace
	}
	rt.Fatal(err)
	return ok
}

// Tests: suite_test.go.
