package dnsd

import (
	"context"
	"log/slog"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Store is where registrations are kept.
type Store struct {
	// Kind is "memory", "bolt", "etcd" or "cluster"; empty means memory.
	Kind string
	// Path is the file of a bolt store.
	Path string
	// Ceiling is the path of a file of a few octets that holds the highest
	// revision given out, so that revisions and serials are never given out twice.
	// Empty: for a bolt store its path and ".ceiling"; for a memory store a file in
	// Config.StateDir, or none. Without the file a dnsd that is killed after more than
	// 15 changes a second may repeat serials that secondaries have seen.
	Ceiling string
	// Shared is the store of kind etcd or cluster.
	Shared *SharedStore
}

// SharedStore is a store that several dnsd share: all of them answer from the same
// registrations, and when one dnsd dies another takes over. Each of them is a member of
// the cluster of dnsd that the prefix makes.
type SharedStore struct {
	// Endpoints are the URLs of an etcd that is there already, for kind etcd:
	// https://10.0.0.1:2379.
	Endpoints []string
	// User and PasswordFile are for an etcd that asks for them. The first line of the
	// file is the password.
	User, PasswordFile string

	// Dir is the folder of etcd's server inside this dnsd, for kind cluster. Peers are
	// all these servers, this dnsd's among them.
	Dir   string
	Peers []Peer

	// Prefix is that of all keys. Default "/rollcall/" and the first origin without its
	// final dot.
	Prefix string
	// TLS is the certificate that is shown to etcd, or by and to the other servers of
	// Peers. CA is a PEM file: the certificate of the other end is signed by it.
	TLS TLS
	CA  string
	// Insecure allows URLs that begin with http:// off loopback.
	Insecure bool
	// Session is how long the others wait for a member that died, until another one
	// writes: 2s to 60s, default 5s.
	Session time.Duration

	// Name is this member's. Default: the host name.
	Name string
	// Listen is the address for the other members, IP:port. Default: for kind etcd the
	// host of the hook, for kind cluster that of this member's peer URL, and the port
	// of the hook + 1.
	Listen string
	// Advertise is the address that the other members use. Default: that of Listen, or
	// if that is unspecified, the first address of this host that others can reach.
	Advertise string
	// Cache is the file of the local copy, which is served after a start while the store
	// is away. Default: for kind etcd the first origin and ".copy" in Config.StateDir,
	// or none; for kind cluster "copy.db" in Dir. "off": none.
	Cache string
}

// Peer is one of etcd's servers inside dnsd.
type Peer struct {
	Name string
	URL  string // https://10.0.0.1:2380
}

// Stores opens shared stores. The module dnsd/cluster has the one that is used, since
// etcd's code is large.
type Stores interface {
	// Check says what of a store can be seen to be wrong without opening it.
	Check(SharedStore) error
	// Open opens a store. It does not wait until the store answers, since it may be away.
	// The context bounds the call, not the life of the store.
	Open(context.Context, SharedStore, *slog.Logger) (kv.Store, error)
}

// Tests: check_test.go, shared_test.go.
