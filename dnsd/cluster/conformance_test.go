package cluster

import (
	"context"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/kvtest"
)

func TestTheStoreOnEtcdIsAStore(t *testing.T) {
	t.Parallel()
	suite(t, startEtcd(t))
}

func TestTheStoreOnTheOldestEtcdIsAStore(t *testing.T) {
	t.Parallel()
	suite(t, startDebian(t))
}

func TestTheStoreOnAnEmbeddedServerIsAStore(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, newAuthority(t, "cluster"))
	g.start("a")
	g.works("a")
	e := g.open["a"]
	run(t, newEtcd(t, "unix://"+e.socket), func(testing.TB) kv.Store {
		// The server goes on when the test closes its store. Transactions are as large as
		// those of the other stores; TestALargeTransaction has larger ones.
		c := newClient(kv.Limits{Ops: etcdOps, Bytes: etcdBytes}, e.log)
		if err := e.attach(c); err != nil {
			t.Fatal(err)
		}
		return &attached{c, e}
	})
}

// TestAReadSeesWhatWasWrittenAtAnotherServer: and so does a condition.
func TestAReadSeesWhatWasWrittenAtAnotherServer(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, nil)
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	revision := must(t, g.open["a"], put("k", ""))
	for i := range 60 {
		from, to := string("abc"[i%3]), string("abc"[(i+1)%3])
		value := fmt.Sprint(i)
		revision = must(t, g.open[from], kv.Txn{If: []kv.Compare{{Key: "k", Is: revision}}, Then: put("k", value).Then})
		if got := g.get(to, "k"); got != value {
			t.Fatalf("%s has %q after %s wrote %q", to, got, from, value)
		}
	}
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
