package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/rollcall-dns/rollcall/bench/internal/measure"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// connections that the clients of etcd share: one HTTP/2 connection would be its
// bottleneck.
const connections = 8

// measureEtcd starts an etcd and registers there as one does: a lease, and a key
// under it.
func measureEtcd(ctx context.Context, dir string) (float64, error) {
	addrs := freeaddr.Take(2)
	client, peer := "http://"+addrs[0].String(), "http://"+addrs[1].String()
	stop, log, err := process("etcd", "--data-dir", dir, "--name", "bench",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "bench="+peer)
	if err != nil {
		return 0, err
	}
	defer stop()

	var conns []*clientv3.Client
	for range connections {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{client}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			return 0, err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	if err := measure.Await(ctx, starting, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := conns[0].Get(ctx, "ready")
		return err
	}); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, log())
	}
	rate, err := measure.Rate(ctx, *clients, *span, func(ctx context.Context, n int64) error {
		c := conns[n%connections]
		lease, err := c.Grant(ctx, 15)
		if err != nil {
			return err
		}
		_, err = c.Put(ctx, fmt.Sprintf("/svc/_tcp/_s%d/a%d", n/10, n), value(n), clientv3.WithLease(lease.ID))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, log())
	}
	return rate, nil
}

// value is what is registered, the same for all.
func value(n int64) string {
	return fmt.Sprintf(`{"host":"10.%d.%d.%d","port":8080,"priority":10,"weight":100,"lease":"15s"}`, n>>16&255, n>>8&255, n&255)
}
