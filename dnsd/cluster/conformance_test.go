package cluster

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/kvtest"
)

func TestTheStoreOnEtcdIsAStore(t *testing.T) {
	suite(t, startEtcd(t))
}

func TestTheStoreOnTheOldestEtcdIsAStore(t *testing.T) {
	suite(t, startDebian(t))
}

func suite(t *testing.T, e etcd) {
	kvtest.Suite{Fresh: func(tb testing.TB) kvtest.Instance {
		return kvtest.Instance{
			Open: func() kv.Store { return e.open(tb) },
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
