// Package kv is what several dnsd need of the store that they share: ordered keys,
// conditional transactions, leases and watches. It is a small part of the API v3 of
// etcd, in etcd's terms, so that package member is written and tested without etcd.
//
// Package memkv is a Store in memory, for tests. Package kvtest is the suite that each
// Store passes. The Store on etcd is in the module dnsd/cluster, so that etcd's
// dependencies stay out of this one.
//
// A key is text, a value is any octets. Every transaction that writes gets the next
// revision of the store; it counts for all keys together.
package kv

import (
	"context"
	"errors"
	"time"
)

// Store is a key-value store that several processes share. All methods are safe for
// concurrent use. Every method that gets a context returns soon after the context ends,
// with an error that is the context's, or one of this package.
type Store interface {
	// Get returns a key as it is now, after every transaction that was answered before
	// (a linearizable read). The pair is nil if there is no such key.
	//
	// Errors: ErrUnavailable, ErrDenied.
	Get(ctx context.Context, key string) (*Pair, Header, error)

	// Range calls each for every key that begins with prefix, in order, all as they
	// were at one revision: at, or, if at is 0, the newest, by a linearizable read. The
	// header has that revision. An error of each ends it and is returned.
	//
	// Errors: ErrCompacted (also: the store has not reached the revision, because it was
	// restored from a copy), ErrUnavailable, ErrDenied.
	Range(ctx context.Context, prefix string, at int64, each func(Pair) error) (Header, error)

	// Txn does all of Then if all of If holds, and else nothing, and says which. It is
	// durable when it returns. It is sent once: it is never repeated by the Store. Deletes
	// of keys that are not there change nothing: they make no revision.
	//
	// Errors: ErrUncertain (it may have been done, or may still be), ErrUnavailable (it was
	// not done), ErrNoSpace (it was not done, but for one case: the etcd whose quota several
	// transactions exceed together has done some of those that it answers so; a caller to
	// whom this matters reads), ErrTooLarge, ErrLeaseGone, ErrDenied, and those of
	// Txn.Check.
	Txn(ctx context.Context, t Txn) (Result, error)

	// Watch returns the changes of all keys that begin with prefix, after a revision; 0 is
	// before the first. The revision may be one that the store has not reached. The watch
	// ends with ctx.
	Watch(ctx context.Context, prefix string, after int64) Watch

	// Grant makes a lease: when it ends, its keys are deleted. The store may lengthen
	// ttl, never shorten it.
	//
	// Errors: ErrUnavailable, ErrUncertain, ErrNoSpace, ErrDenied.
	Grant(ctx context.Context, ttl time.Duration) (Lease, error)
	// KeepAlive begins the time of a lease again. The lease lasts at least its TTL from
	// the moment of the call on.
	//
	// Errors: ErrLeaseGone, ErrUnavailable, ErrDenied.
	KeepAlive(ctx context.Context, id LeaseID) error
	// Revoke ends a lease at once. An unknown one is no error.
	//
	// Errors: ErrUnavailable, ErrUncertain, ErrDenied.
	Revoke(ctx context.Context, id LeaseID) error

	// Limits of one transaction.
	Limits() Limits

	// Status is the health of the store's own servers, for people.
	Status(ctx context.Context) Status

	// Close ends everything: calls and watches get ErrClosed. No lease ends by it.
	Close() error
}

// Members is implemented by a Store whose servers are inside dnsd.
type Members interface {
	// AddMember makes room for one more server, which then can start. peer is its URL.
	AddMember(ctx context.Context, name, peer string) error
	// RemoveMember removes a server for good.
	RemoveMember(ctx context.Context, name string) error
}

// Aside is implemented by a Store with a server in this process.
type Aside interface {
	// StepAside lets another of the store's servers lead them, if the one in this process
	// does. An error says why it leads on.
	StepAside(ctx context.Context) error
}

// Errors for errors.Is. The text of the error that is returned names the cause.
var (
	ErrUnavailable = errors.New("kv: the store is not reachable")            // nothing was done
	ErrUncertain   = errors.New("kv: the outcome is unknown")                // it may have been done, or may still be
	ErrNoSpace     = errors.New("kv: the store's quota is used up")          // reads and deletes work
	ErrCompacted   = errors.New("kv: the store does not have this revision") // it was compacted
	ErrTooLarge    = errors.New("kv: the transaction is too large")          // see Limits
	ErrLeaseGone   = errors.New("kv: the lease has ended")                   //
	ErrDenied      = errors.New("kv: the store refuses these credentials")   // to be mended by an operator
	ErrClosed      = errors.New("kv: the store was closed")                  //
)

// LeaseID names a lease. 0 is none.
type LeaseID int64

// Lease is a lease as granted.
type Lease struct {
	ID  LeaseID
	TTL time.Duration
}

// Header says what an answer is of.
type Header struct {
	// Cluster names the data of the store. Another number means other data: a store that
	// was made again, or restored from a copy.
	Cluster uint64
	// Revision is that of the answer. It never falls, except when the store was restored
	// from a copy.
	Revision int64
}

// Pair is a key with its value.
type Pair struct {
	Key      string
	Value    []byte
	Created  int64 // the revision at which the key began to exist
	Modified int64 // the revision of its last change
	Lease    LeaseID
}

// Txn is a conditional transaction. No key is in Then twice. If its conditions do not
// hold, a lease that has ended is no error.
type Txn struct {
	If   []Compare
	Then []Op
}

// Compare is a condition: a key has a revision. A key that does not exist has 0.
type Compare struct {
	Key     string
	Created bool // compare Pair.Created, else Pair.Modified
	Is      int64
}

// Op puts a key, or deletes it.
type Op struct {
	Key    string
	Value  []byte // of a put
	Lease  LeaseID
	Delete bool
}

// Result of a transaction that was decided.
type Result struct {
	Header Header // the revision of the transaction if it was Done
	Done   bool   // the conditions held
}

// Limits of one transaction. It may have at most Ops operations, at most Ops conditions,
// and at most Bytes octets of keys and values, those of conditions too.
type Limits struct {
	Ops   int
	Bytes int
}

// Watch delivers changes.
type Watch interface {
	// Next waits for the next changes, in order and without gaps. One goroutine at a time
	// may call it. After an error it is over: watch again after the last revision that
	// was delivered.
	//
	// Errors: ErrCompacted (Range has to be read again), ErrUnavailable (also: the server
	// that is asked has lost the others), ErrDenied, ErrClosed, the context's.
	Next(ctx context.Context) (Changes, error)
	// Close ends the watch.
	Close()
}

// Changes are those of whole revisions: the changes of one revision are never
// divided, and are in the order of Txn.Then, or of the keys if a lease has ended. Without
// Events, nothing has changed up to the revision; such news may come at any time, or
// never. If its revision is below that after which the watch began, the store was
// restored from a copy.
type Changes struct {
	Header Header // the revision of the last change, or of the news that there is none
	Events []Event
}

// Event is the change of one key. Of a deleted one, only Key and Modified are set.
type Event struct {
	Pair
	Deleted bool
}

// Status of the servers of the store.
type Status struct {
	Error   string // why nothing could be learned; empty: all is known
	Alarm   string // what the store warns of, such as "NOSPACE"; empty: nothing
	Size    int64  // octets of its data on disk
	Quota   int64  // the most that Size may be; 0: it does not say
	Version string // "3.5.9"
	Nodes   []Node
}

// Node is one server of the store.
type Node struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Healthy bool   `json:"healthy"`
	Leader  bool   `json:"leader"`
	Error   string `json:"error,omitempty"` // why it is not healthy
}
