// Package registrytest is the suite that every registry.Backend passes, and a Sink for
// the tests of the registry.
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
// The suite checks the backend against its interface: after any commits, Load returns
// what was committed. It also runs a registry on the backend through random histories
// with restarts, stalls and a full disk, and compares it at every step with a simple
// model of what a registry promises: instances, states, revisions, leases and receipts.
package registrytest
