package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// etcdVar makes the test binary an etcd: DIR CLIENT PEER.
const etcdVar = "CLUSTER_TEST_ETCD"

func TestMain(m *testing.M) {
	if task := os.Getenv(etcdVar); task != "" {
		peertest.Main(func(ctx context.Context) error { return runEtcd(ctx, strings.Fields(task)) })
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

// A process is an etcd in a process of its own, which can be stopped and killed.
type process struct {
	*peertest.Process
	etcd
	task string
}

func startProcess(t *testing.T) *process {
	t.Helper()
	addrs := peertest.FreeAddrs(2)
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
