package cluster

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/kvtest"
)

func TestTheStoreOnEtcdIsAStore(t *testing.T) {
	suite(t, startEtcd(t))
}

func TestTheStoreOnTheOldestEtcdIsAStore(t *testing.T) {
	suite(t, startDebian(t))
}

// TestTheStoreOnEmbeddedServersIsAStore: each connection is at another one of three.
func TestTheStoreOnEmbeddedServersIsAStore(t *testing.T) {
	g := newGroup(t, 3, newAuthority(t, "cluster"))
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	admin, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + g.open["a"].socket}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	n := 0
	run(t, etcd{admin: admin}, func(testing.TB) kv.Store {
		n++
		e := g.open[string("abc"[n%3])]
		c := newClient(e.limits, e.log) // the server goes on when the test closes its store
		if err := e.attach(c); err != nil {
			t.Fatal(err)
		}
		return &attached{c, e}
	})
}

// attached is a client with the status of the server.
type attached struct {
	*client
	server *embedded
}

func (a *attached) Status(ctx context.Context) kv.Status { return a.server.status(ctx, a.client) }

func suite(t *testing.T, e etcd) {
	run(t, e, func(tb testing.TB) kv.Store { return e.open(tb) })
}

func run(t *testing.T, e etcd, open func(testing.TB) kv.Store) {
	kvtest.Suite{Fresh: func(tb testing.TB) kvtest.Instance {
		return kvtest.Instance{
			Open: func() kv.Store { return open(tb) },
			Compact: func(revision int64) {
				if _, err := e.admin.Compact(t.Context(), revision, clientv3.WithCompactPhysical()); err != nil {
					t.Fatal(err)
				}
			},
			Full: func(on bool) {
				if on {
					alarm(t, e, pb.AlarmRequest_ACTIVATE)
				} else {
					alarm(t, e, pb.AlarmRequest_DEACTIVATE)
				}
			},
		}
	}}.Run(t)
}
