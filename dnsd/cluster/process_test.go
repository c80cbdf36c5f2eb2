package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// etcdVar makes the test binary an etcd: DIR CLIENT PEER.
const etcdVar = "CLUSTER_TEST_ETCD"

// clusterVar makes it a dnsd with an embedded server, as far as this package is concerned:
// DIR PEER.
const clusterVar = "CLUSTER_TEST_EMBEDDED"

func TestMain(m *testing.M) {
	if task := os.Getenv(clusterVar); task != "" {
		peertest.Main(func(ctx context.Context) error { return runCluster(ctx, strings.Fields(task)) })
	}
	if task := os.Getenv(etcdVar); task != "" {
		peertest.Main(func(ctx context.Context) error { return runEtcd(ctx, strings.Fields(task)) })
	}
	flag.Parse()
	// The tests wait far more than they work.
	if f := flag.Lookup("test.parallel"); f.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set("6")
	}
	os.Exit(m.Run())
}

func runEtcd(ctx context.Context, args []string) error {
	cfg := embedConfig(args[0], "http", args[1], args[2])
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-e.Server.ReadyNotify():
		fmt.Println("ready")
	case <-e.Server.StopNotify():
		return errors.New("it stopped")
	case <-ctx.Done():
		return nil
	}
	<-ctx.Done()
	return nil
}

func runCluster(ctx context.Context, args []string) error {
	s, err := Stores{}.Open(ctx, dnsd.SharedStore{Dir: args[0], Name: "a", Peers: []dnsd.Peer{{Name: "a", URL: args[1]}}}, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	for ctx.Err() == nil {
		if _, err = s.Txn(ctx, put("k", "1")); err == nil {
			fmt.Println("done")
			<-ctx.Done()
		}
	}
	return nil
}

// TestAServerThatWasKilledStartsAgain: its lock is gone, its socket is not.
func TestAServerThatWasKilledStartsAgain(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, nil)
	task := clusterVar + "=" + g.dirs["a"] + " " + g.base.Peers[0].URL
	p := peertest.StartSelf(t, "dnsd", task)
	if _, err := p.Line(); err != nil {
		t.Fatal(err)
	}
	g.refusedToo("beside a process that runs", g.config("a"), "another process uses it: is dnsd running already?")
	p.Kill()
	g.start("a")
	g.works("a")
	if got := g.get("a", "k"); got != "1" {
		t.Errorf("k is %q", got)
	}
}

// A process is an etcd in a process of its own, which can be stopped and killed.
type process struct {
	*peertest.Process
	etcd
	task string
}

func startProcess(t *testing.T) *process {
	t.Helper()
	addrs := freeaddr.Take(2)
	p := &process{task: fmt.Sprintf("%s %s %s", t.TempDir(), addrs[0], addrs[1])}
	p.start(t)
	p.etcd = newEtcd(t, "http://"+addrs[0].String())
	return p
}

// start starts it, again if it was killed.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.Process = peertest.StartSelf(t, "etcd", etcdVar+"="+p.task)
	if _, err := p.Line(); err != nil {
		t.Fatal(err)
	}
}
