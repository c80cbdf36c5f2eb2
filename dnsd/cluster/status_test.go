package cluster

import (
	"reflect"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

func TestTheStatusOfARealEtcd(t *testing.T) {
	quotas := map[string]int64{"3.7": 2 << 30, "3.4": 0} // etcd 3.4 does not say it
	for name, e := range map[string]etcd{"3.7": startEtcd(t), "3.4": startDebian(t)} {
		s := e.open(t, func(s *dnsd.SharedStore) { s.Endpoints = append(s.Endpoints, "http://127.0.0.1:1") })
		st := s.Status(t.Context())
		if st.Error != "" || st.Alarm != "" || st.Size == 0 || st.Quota != quotas[name] || !strings.HasPrefix(st.Version, name) || len(st.Nodes) != 2 {
			t.Fatalf("%s: %+v", name, st)
		}
		if want := (kv.Node{Name: "given", URL: e.url, Healthy: true, Leader: true}); st.Nodes[0] != want {
			t.Errorf("%s: %+v, want %+v", name, st.Nodes[0], want)
		}
		if n := st.Nodes[1]; n.Healthy || n.Leader || !strings.Contains(n.Error, "connection refused") {
			t.Errorf("%s: %+v", name, n)
		}
		alarm(t, e, pb.AlarmRequest_ACTIVATE)
		if st := s.Status(t.Context()); st.Alarm != "NOSPACE" {
			t.Errorf("%s: the alarm is %q", name, st.Alarm)
		}
		alarm(t, e, pb.AlarmRequest_DEACTIVATE)
	}
}

// alarm raises or ends the alarm of a full etcd.
func alarm(t testing.TB, e etcd, do pb.AlarmRequest_AlarmAction) {
	t.Helper()
	list, err := e.admin.MemberList(soon(t, openTime))
	if err == nil {
		_, err = pb.NewMaintenanceClient(e.admin.ActiveConnection()).Alarm(soon(t, openTime), &pb.AlarmRequest{
			Action: do, MemberID: list.Members[0].ID, Alarm: pb.AlarmType_NOSPACE,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheStatusOfAStoreThatIsAway(t *testing.T) {
	e := etcd{url: "http://127.0.0.1:1"}
	st := e.open(t).Status(t.Context())
	if !strings.Contains(st.Error, "connection refused") || len(st.Nodes) != 1 || st.Nodes[0].Healthy {
		t.Errorf("%+v", st)
	}
}

func TestHealth(t *testing.T) {
	answer := func(id, leader uint64, errors ...string) *pb.StatusResponse {
		return &pb.StatusResponse{Header: &pb.ResponseHeader{MemberId: id}, Leader: leader, Version: "3.5.9", DbSize: int64(id) * 10, DbSizeQuota: 100, Errors: errors}
	}
	var st health
	st.add("u1", nil, errBroken)
	st.add("u2", answer(2, 3, "memberID:2 alarm:NOSPACE ", "memberID:3 alarm:CORRUPT "), nil)
	st.add("u4", answer(4, 0, "etcdserver: no leader", "memberID:2 alarm:NOSPACE "), nil)
	st.name([]*pb.Member{
		{ID: 2, Name: "b"},
		{ID: 3, Name: "c", ClientURLs: []string{"c1", "c2"}},
		{ID: 4, Name: "d"},
		{ID: 5, PeerURLs: []string{"p5"}},
		{ID: 6},
	})
	want := kv.Status{
		Alarm: "NOSPACE CORRUPT", Size: 40, Quota: 100, Version: "3.5.9",
		Nodes: []kv.Node{
			{URL: "u1", Error: errBroken.Error()},
			{Name: "b", URL: "u2", Healthy: true},
			{Name: "d", URL: "u4", Error: "it has lost the others"},
			{Name: "c", URL: "c1", Healthy: true, Leader: true},
			{URL: "p5", Error: "not asked: it is none of the endpoints"},
			{Error: "not asked: it is none of the endpoints"},
		},
	}
	if !reflect.DeepEqual(st.Status, want) {
		t.Errorf("%+v\nwant %+v", st.Status, want)
	}
}
