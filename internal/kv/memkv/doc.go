// Package memkv is a kv.Store in memory, with faults, for tests: of package member, of
// testenv, and of programs that use testenv. It behaves as etcd does: revisions,
// conditions, leases, watches, compaction, quota, and what a client hears when something
// is wrong. kvtest.Suite holds it and the Store on etcd to the same rules.
//
// A Cluster is the data. Each process that shares it, or each part of one process that
// plays one, has a Store of its own: a connection with its own link.
//
//	cluster := memkv.New(memkv.Config{})
//	a, b := cluster.Open("a"), cluster.Open("b")
//	a.SetLink(memkv.Cut)                // a is alone; b works
//	b.Lose(memkv.LostReply)             // b's next transaction is done, but b is not told
//	cluster.Stop()                      // as an etcd that has lost its majority
//
// # Faults of a link
//
// SetLink cuts a link, hangs it in both directions or for replies only, or makes the
// store refuse the credentials. Delay makes it slow, DelayAnswers lets watches overtake the
// answers of calls. Lose decides about the next transactions one by one. What a client hears follows kv.Store: ErrUnavailable for what
// was certainly not done, ErrUncertain for a transaction whose answer is lost.
//
// A link that hangs holds what was sent. It is delivered when the link works again, but
// not if the caller has given up before: its request is lost then. Lose with Late is for
// a request that arrives after its caller gave up.
//
// # Faults of the store
//
// Stop and Start, Compact, SetFull, Snapshot and Restore. When the store starts again,
// each lease gets its whole time, as after an election in etcd. No lease ends while it is
// stopped.
//
// # Time
//
// All times are of package time, so it works in a bubble of testing/synctest; make the
// Cluster in the bubble. There are no goroutines in it but those of its callers. A timer
// runs while there are leases. Nothing has to be closed.
package memkv
