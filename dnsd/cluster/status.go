package cluster

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// statusTime bounds what the servers are asked for their status: people wait for it.
const statusTime = time.Second

// Status implements [kv.Store]. Each server is asked for itself.
func (c *client) Status(ctx context.Context) kv.Status {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	reports := make([]*pb.StatusResponse, len(c.servers))
	faults := make([]error, len(c.servers))
	var members []*pb.Member
	var all sync.WaitGroup
	for i, s := range c.servers {
		all.Go(func() {
			err := c.token.with(ctx, s, func(ctx context.Context) (err error) {
				reports[i], err = s.maintenance.Status(ctx, &pb.StatusRequest{})
				return err
			})
			if err != nil {
				faults[i] = s.judge(ctx, "status", err, false)
			}
		})
	}
	all.Go(func() { members, _ = c.members(ctx) }) // without them, the servers have no names
	all.Wait()

	var st health
	for i, s := range c.servers {
		st.add(s.url, reports[i], faults[i])
	}
	st.name(members)
	return st.Status
}

// members lists the servers of the cluster, as the server in use knows them, also without
// the others.
func (c *client) members(ctx context.Context) ([]*pb.Member, error) {
	s := c.at()
	var answer *pb.MemberListResponse
	err := c.token.with(ctx, s, func(ctx context.Context) (err error) {
		answer, err = s.cluster.MemberList(ctx, &pb.MemberListRequest{})
		return err
	})
	if err != nil {
		return nil, s.judge(ctx, "list the members", err, false)
	}
	return answer.GetMembers(), nil
}

// health is built up from what each server says of itself.
type health struct {
	kv.Status
	ids    []uint64 // of Nodes; 0: unknown
	leader uint64
	known  bool // a server answered
}

// add adds a server.
func (st *health) add(url string, r *pb.StatusResponse, err error) {
	node := kv.Node{URL: url}
	id := r.GetHeader().GetMemberId()
	switch {
	case err != nil:
		node.Error = err.Error()
		if !st.known && st.Error == "" {
			st.Error = node.Error
		}
	case r.GetLeader() == 0:
		node.Error = "it has lost the others"
	default:
		st.leader = r.GetLeader()
		node.Healthy = true
	}
	if err == nil {
		st.known, st.Error = true, ""
		st.Size = max(st.Size, r.GetDbSize())
		st.Quota = max(st.Quota, r.GetDbSizeQuota()) // etcd says it since 3.6
		if st.Version == "" {
			st.Version = r.GetVersion()
		}
		st.alarms(r.GetErrors())
	}
	st.Nodes, st.ids = append(st.Nodes, node), append(st.ids, id)
}

// alarms finds the alarms in a server's list of faults, where each is written as
// "memberID:1 alarm:NOSPACE".
func (st *health) alarms(faults []string) {
	for _, f := range faults {
		_, alarm, ok := strings.Cut(f, "alarm:")
		if ok && !strings.Contains(st.Alarm, strings.TrimSpace(alarm)) {
			st.Alarm = strings.TrimSpace(st.Alarm + " " + strings.TrimSpace(alarm))
		}
	}
}

// name gives the nodes their names, and adds the members that are none of the endpoints.
func (st *health) name(members []*pb.Member) {
	for _, m := range members {
		found := false
		for i, id := range st.ids {
			if id == m.GetID() {
				st.Nodes[i].Name, found = m.GetName(), true
			}
		}
		if found {
			continue
		}
		node := kv.Node{Name: m.GetName()}
		for _, u := range slices.Backward(slices.Concat(m.GetClientURLs(), m.GetPeerURLs())) {
			if !strings.HasPrefix(u, "unix") { // that is of use on its host only
				node.URL = u
			}
		}
		if node.Healthy = m.GetID() == st.leader; !node.Healthy {
			node.Error = "not asked: it is none of the endpoints"
		}
		st.Nodes, st.ids = append(st.Nodes, node), append(st.ids, m.GetID())
	}
	for i, id := range st.ids {
		st.Nodes[i].Leader = id != 0 && id == st.leader
	}
}

// Tests: status_test.go.
