// Package kvtest is the suite that each kv.Store passes: what package member relies on,
// tried on a real store. Stores that pass it may take each other's place.
//
//	kvtest.Suite{
//		Fresh: func(t testing.TB) kvtest.Instance {
//			cluster := memkv.New(memkv.Config{})
//			return kvtest.Instance{Open: func() kv.Store { return cluster.Open("") }}
//		},
//	}.Run(t)
//
// Each test works under a prefix of its own, so that Fresh may return the same store each
// time, with anything in it. While a test runs, no other client may write to the store.
//
// Most tests need no time. One waits for the end of a lease of two seconds.
package kvtest
