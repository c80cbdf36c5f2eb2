// Package registrytest is the suite that every registry.Backend passes, and what
// tests of the registry share.
//
// A backend's test is
//
//	func TestBackend(t *testing.T) {
//		registrytest.Suite{Fresh: func(tb testing.TB) registrytest.Store {
//			path := filepath.Join(tb.TempDir(), "svc.db")
//			return func() (registry.Backend, error) { return boltstore.Open(path) }
//		}}.Run(t)
//	}
//
// The suite holds the backend to its interface (what was committed is loaded,
// after any history of commits), and a registry on top of it to a simple model
// of what registries promise: published set, states, revisions and leases agree
// at every step of random histories with restarts and stalls.
package registrytest
