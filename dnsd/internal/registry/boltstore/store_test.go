package boltstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tempDir returns a directory in memory if there is one. The tests make thousands of
// commits, and do not measure what a sync costs.
func tempDir(tb testing.TB) string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err != nil || !info.IsDir() {
		return tb.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "boltstore-test-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestBackend(t *testing.T) {
	fresh := func(tb testing.TB) (registrytest.Store, string) {
		path := filepath.Join(tempDir(tb), "svc.db")
		return func() (registry.Backend, error) { return boltstore.Open(path) }, path
	}
	registrytest.Suite{
		Fresh:     func(tb testing.TB) registrytest.Store { store, _ := fresh(tb); return store },
		FreshFile: fresh,
	}.Run(t)
}
