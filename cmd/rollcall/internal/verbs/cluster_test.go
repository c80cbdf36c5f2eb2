package verbs

import (
	"bufio"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/register"
)

func TestAClusterIsPrinted(t *testing.T) {
	var out, errs strings.Builder
	w := bufio.NewWriter(&out)
	err := printCluster(cli.Call{Out: w, Err: &errs}, register.Cluster{
		Name:    "b",
		Members: []register.ClusterMember{{Name: "a", Role: register.ClusterFollower, Revision: 7, Lag: 2, Version: "v0.3.0", Error: "cut\x1boff"}},
		Etcd:    &register.ClusterEtcd{Inside: true, Version: "3.7.3", Bytes: 1 << 20, Quota: 2 << 30, Members: []register.ClusterPeer{{Name: "a", Peer: "https://10.0.0.1:2380", Leader: true}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Flush()
	want := "NAME  ROLE      REVISION  LAG  HOOK  ADDRESS  VERSION  ERROR\n" +
		"a     follower  7         2    -     -        v0.3.0   cut\\x1boff\n" +
		"\netcd inside the dnsd, version 3.7.3, 1024 KiB of 2048 MiB used\n" +
		"NAME  PEER                   LEADER  ERROR\na     https://10.0.0.1:2380  yes     -\n"
	if out.String() != want || errs.String() != "there is no writer now: registrations wait\n" {
		t.Errorf("got\n%s%s", out.String(), errs.String())
	}
}
