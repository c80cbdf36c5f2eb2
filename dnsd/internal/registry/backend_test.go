package registry_test

import (
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
)

func TestMemory(t *testing.T) {
	registrytest.Suite{
		Fresh: func(testing.TB) registrytest.Store {
			return func() (registry.Backend, error) { return registry.Memory(), nil }
		},
		Volatile: true,
	}.Run(t)
}
