package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// An etcd is one that is there already: for store etcd.
type etcd struct {
	url string
	// admin is etcd's own client. It makes what an operator makes.
	admin *clientv3.Client
}

// startEtcd starts an etcd of version 3.7 in this process, until the test ends.
func startEtcd(t testing.TB, change ...func(*embed.Config)) etcd {
	t.Helper()
	return newEtcd(t, startEtcdAt(t, "http", change...))
}

// startEtcdAt starts an etcd for clients at a URL of a scheme, which it returns.
func startEtcdAt(t testing.TB, scheme string, change ...func(*embed.Config)) string {
	t.Helper()
	addrs := freeaddr.Take(2)
	cfg := embedConfig(t.TempDir(), scheme, addrs[0].String(), addrs[1].String())
	for _, c := range change {
		c(cfg)
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(time.Minute):
		t.Fatal("etcd is not ready after a minute")
	}
	return cfg.ListenClientUrls[0].String()
}

func embedConfig(dir, scheme, client, peer string) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = "given", dir
	cfg.ListenClientUrls = []url.URL{{Scheme: scheme, Host: client}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = []url.URL{{Scheme: "http", Host: peer}}
	cfg.AdvertisePeerUrls = cfg.ListenPeerUrls
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.UnsafeNoFsync = true
	return cfg
}

// startDebian starts Debian's etcd, which is version 3.4, or skips the test.
func startDebian(t testing.TB, args ...string) etcd {
	t.Helper()
	addrs := freeaddr.Take(2)
	client, peer := "http://"+addrs[0].String(), "http://"+addrs[1].String()
	args = append([]string{
		"--name", "given", "--data-dir", t.TempDir(),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "given=" + peer,
	}, args...)
	peertest.Start(t, t.TempDir(), "etcd", args...)
	return newEtcd(t, client)
}

// newEtcd waits until an etcd answers.
func newEtcd(t testing.TB, url string) etcd {
	t.Helper()
	admin, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := admin.Get(ctx, "ready"); err != nil { // it waits for a connection
		t.Fatal(err)
	}
	return etcd{url, admin}
}

// open opens the store of an etcd, until the test ends.
func (e etcd) open(t testing.TB, change ...func(*dnsd.SharedStore)) kv.Store {
	t.Helper()
	s := dnsd.SharedStore{Endpoints: []string{e.url}, Prefix: "/rollcall/svc"}
	for _, c := range change {
		c(&s)
	}
	store, err := Stores{}.Open(t.Context(), s, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// await waits until something is so that has no event, because it happens inside etcd or
// gRPC.
func await(t testing.TB, so func() bool) {
	t.Helper()
	for tick, end := time.NewTicker(10*time.Millisecond), soon(t, time.Minute); !so(); <-tick.C {
		if end.Err() != nil {
			t.Fatal("not within a minute")
		}
	}
}

// testLog writes to standard error if CLUSTER_LOG is set: goroutines of etcd log after
// the test has ended, which testing does not allow.
func testLog(t testing.TB) *slog.Logger {
	if os.Getenv("CLUSTER_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("test", t.Name())
}

// put is a transaction of puts, from keys and values in turn.
func put(kvs ...string) (t kv.Txn) {
	for i := 0; i < len(kvs); i += 2 {
		t.Then = append(t.Then, kv.Op{Key: kvs[i], Value: []byte(kvs[i+1])})
	}
	return t
}

// must does a transaction that has to be done, and returns its revision.
func must(t testing.TB, s kv.Store, txn kv.Txn) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := s.Txn(ctx, txn)
	if err == nil && !r.Done {
		err = fmt.Errorf("its conditions do not hold")
	}
	if err != nil {
		t.Fatalf("the transaction was not done: %v", err)
	}
	return r.Header.Revision
}
