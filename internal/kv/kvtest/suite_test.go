package kvtest_test

import (
	"testing"
	"testing/synctest"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/kvtest"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

func suite() kvtest.Suite {
	return kvtest.Suite{
		Fresh: func(t testing.TB) kvtest.Instance {
			c := memkv.New(memkv.Config{})
			return kvtest.Instance{
				Open:    func() kv.Store { return c.Open("test") },
				Compact: func(r int64) { c.Compact(r) },
				Full:    c.SetFull,
			}
		},
		Around: synctest.Test,
	}
}

func TestMemkvPasses(t *testing.T) { suite().Run(t) }
