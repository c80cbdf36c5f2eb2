package kvtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Suite says what is tested.
type Suite struct {
	// Fresh gives a test its store.
	Fresh func(testing.TB) Instance
	// Around, if it is set, runs each test. memkv's is synctest.Test.
	Around func(*testing.T, func(*testing.T))
}

// Instance is a store under test. The functions are called by the goroutine of the test.
type Instance struct {
	// Open makes one more connection. The suite closes it.
	Open func() kv.Store
	// Compact compacts the store up to a revision. nil: its tests are skipped.
	Compact func(revision int64)
	// Full raises or ends the alarm of a full store. nil: its tests are skipped.
	Full func(bool)
}

type test struct {
	name string
	run  func(*env)
}

var tests = []test{
	{"AReadSeesEveryWriteThatWasAnswered", readsSeeWrites},
	{"APairHasTheRevisionsOfItsLife", revisionsOfAPair},
	{"ARangeIsInOrderAndEndsWithThePrefix", rangeOrder},
	{"ARangeIsOfOneRevision", rangeOfOneRevision},
	{"ARangeOfAnOldRevision", rangeOfOldRevision},
	{"AnErrorEndsARange", rangeError},
	{"ValuesAreAnyOctetsAndTheCallersOwn", values},
	{"EveryAnswerNamesTheCluster", clusterID},
	{"StatusTellsTheServers", status},

	{"Conditions", conditions},
	{"ATransactionIsDoneWholeOrNot", wholeOrNot},
	{"WhatChangesNothingMakesNoRevision", noRevision},
	{"TransactionsThatCompeteAreDoneOneByOne", compete},
	{"ATransactionMayBeAsLargeAsItsLimits", limits},
	{"ATransactionThatIsWrongIsNotSent", refused},

	{"AWatchBeginsAfterAnyRevision", watchAfter},
	{"AWatchSeesItsPrefixOnly", watchPrefix},
	{"AWatchKeepsRevisionsWhole", watchWhole},
	{"AWatchThatGoesOnMissesNothing", watchResumes},
	{"WatchersSeeTheSameWhileAllWrite", watchersAgree},
	{"AWatchEnds", watchEnds},

	{"ALeaseThatEndsDeletesItsKeys", leaseEnds},
	{"ARevokedLeaseDeletesItsKeysAtOneRevision", leaseRevoked},
	{"ALeaseThatIsGone", leaseGone},
	{"AKeyLeavesALease", leaseLeft},

	{"WhatWasCompactedIsGone", compaction},
	{"AFullStoreDeletes", full},
	{"CloseEndsEverything", closed},
	{"ACallEndsWithItsContext", contexts},

	{"AnyHistoryIsTheModels", anyHistory},
}

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	around := s.Around
	if around == nil {
		around = func(t *testing.T, test func(*testing.T)) { test(t) }
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			around(t, func(t *testing.T) { tc.run(newEnv(t, s.Fresh(t))) })
		})
	}
}

// failer is what testing.T and rapid.T have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// env is one test: a store, and a prefix for its keys.
type env struct {
	failer
	Instance
	t      testing.TB // failer is another one in a test of rapid
	store  kv.Store
	prefix string
	ctx    context.Context // of each call
}

var envs atomic.Int64

// patience bounds a test. On a slow disk, an etcd takes some seconds for the longest.
const patience = time.Minute

func newEnv(t testing.TB, i Instance) *env {
	e := &env{failer: t, Instance: i, t: t}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	e.ctx = ctx
	e.store = e.open()
	e.newPrefix()
	return e
}

// newPrefix gives the test new keys. Others lie before and after them.
func (e *env) newPrefix() {
	e.prefix = fmt.Sprintf("/kvtest/%d-%d/", time.Now().UnixNano(), envs.Add(1))
}

// open makes one more connection.
func (e *env) open() kv.Store {
	s := e.Open()
	e.t.Cleanup(func() { s.Close() })
	return s
}

// check ends the test with an error.
func (e *env) check(what string, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: %v", what, err)
	}
}

// is checks that an error is one of some.
func (e *env) is(what string, err error, wants ...error) {
	e.Helper()
	if !slices.ContainsFunc(wants, func(want error) bool { return errors.Is(err, want) }) {
		e.Errorf("%s: the error is %v, want one of %v", what, err, wants)
	}
}

// put and del are operations on keys below the prefix.
func (e *env) put(key, value string) kv.Op {
	return kv.Op{Key: e.prefix + key, Value: []byte(value)}
}

func (e *env) putLeased(key string, l kv.Lease) kv.Op {
	return kv.Op{Key: e.prefix + key, Value: []byte("leased"), Lease: l.ID}
}

func (e *env) del(key string) kv.Op { return kv.Op{Key: e.prefix + key, Delete: true} }

// do does operations, and returns their revision.
func (e *env) do(ops ...kv.Op) int64 {
	e.Helper()
	r, err := e.store.Txn(e.ctx, kv.Txn{Then: ops})
	e.check("transaction", err)
	if !r.Done {
		e.Fatalf("a transaction without conditions was not done")
	}
	return r.Header.Revision
}

// get reads a key, which may be absent.
func (e *env) get(key string) *kv.Pair {
	e.Helper()
	p, _, err := e.store.Get(e.ctx, e.prefix+key)
	e.check("get "+key, err)
	if p != nil && p.Key != e.prefix+key {
		e.Fatalf("get %s: the pair is of %s", key, p.Key)
	}
	return p
}

// list reads all keys below the prefix at a revision, as "key=value".
func (e *env) list(at int64) []string {
	e.Helper()
	var lines []string
	h, err := e.store.Range(e.ctx, e.prefix, at, func(p kv.Pair) error {
		lines = append(lines, fmt.Sprintf("%s=%s", strings.TrimPrefix(p.Key, e.prefix), p.Value))
		return nil
	})
	e.check("range", err)
	if at != 0 && h.Revision != at {
		e.Errorf("range at revision %d: the header says %d", at, h.Revision)
	}
	return lines
}

// want compares lines.
func (e *env) want(what string, got []string, want ...string) {
	e.Helper()
	if !slices.Equal(got, want) {
		e.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// now is the newest revision.
func (e *env) now() int64 {
	e.Helper()
	_, h, err := e.store.Get(e.ctx, e.prefix)
	e.check("get", err)
	return h.Revision
}

// Tests: suite_test.go, mutant_test.go.
