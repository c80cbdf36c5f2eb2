//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/resolver"
)

// prefix of the keys of the service.
const prefix = "/services/math/"

// etcd is a registry on etcd: an instance is a key. The writer and the watcher have a
// connection each, as two programs would.
type etcd struct {
	*process
	writer, watcher *clientv3.Client
	url             string
	lease           clientv3.LeaseID
	values          map[string]value // what is registered
}

// value is what is stored of an instance.
type value struct {
	Addr   string
	Weight uint16
	Drain  bool
}

func newEtcd(ctx context.Context, p programs) (*etcd, error) {
	addrs := freeaddr.Take(2)
	client, peer := "http://"+addrs[0].String(), "http://"+addrs[1].String()
	proc, err := start(p.cpus, filepath.Join(p.work, "etcd.log"), "etcd", "--data-dir", filepath.Join(p.work, "etcd"), "--name", "bench",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "bench="+peer)
	if err != nil {
		return nil, err
	}
	e := &etcd{process: proc, url: client, values: make(map[string]value)}
	for _, c := range []**clientv3.Client{&e.writer, &e.watcher} {
		*c, err = clientv3.New(clientv3.Config{Endpoints: []string{client}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			return nil, err
		}
	}
	err = await(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		granted, err := e.writer.Grant(ctx, 3600)
		if err == nil {
			e.lease = granted.ID
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, e.said())
	}
	return e, nil
}

func (e *etcd) set(id string, v value) error {
	e.values[id] = v
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), slowest)
	defer cancel()
	_, err = e.writer.Put(ctx, prefix+id, string(text), clientv3.WithLease(e.lease))
	return err
}

func (e *etcd) put(id string, port, weight int) error {
	return e.set(id, value{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Weight: uint16(weight)})
}

func (e *etcd) drain(id string, _ int) error {
	v := e.values[id]
	v.Drain = true
	return e.set(id, v)
}

func (e *etcd) remove(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), slowest)
	defer cancel()
	_, err := e.writer.Delete(ctx, prefix+id)
	return err
}

func (e *etcd) source() resolver.Source { return watch{e.watcher} }

func (e *etcd) stored() (time.Duration, error) {
	return metric(e.url+"/metrics", "etcd_disk_wal_fsync_duration_seconds_sum")
}

func (e *etcd) close() {
	e.writer.Close()
	e.watcher.Close()
	e.kill()
}

// watch is a Source that follows the keys.
type watch struct{ client *clientv3.Client }

func (w watch) Watch(ctx context.Context, _ string) iter.Seq[resolver.State] {
	return func(yield func(resolver.State) bool) {
		got, err := w.client.Get(ctx, prefix, clientv3.WithPrefix())
		if err != nil {
			yield(resolver.State{Err: err})
			return
		}
		known := make(map[string]value)
		for _, kv := range got.Kvs {
			if known[string(kv.Key)], err = read(kv.Value); err != nil {
				yield(resolver.State{Err: err})
				return
			}
		}
		if !yield(state(known)) {
			return
		}
		for resp := range w.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(got.Header.Revision+1)) {
			for _, ev := range resp.Events {
				key := string(ev.Kv.Key)
				if ev.Type == clientv3.EventTypeDelete {
					delete(known, key)
					continue
				}
				if known[key], err = read(ev.Kv.Value); err != nil {
					yield(resolver.State{Err: err})
					return
				}
			}
			if !yield(state(known)) {
				return
			}
		}
	}
}

func read(text []byte) (v value, err error) {
	err = json.Unmarshal(text, &v)
	return v, err
}

// state is what a client is told.
func state(known map[string]value) resolver.State {
	var eps []resolver.Endpoint
	for v := range maps.Values(known) {
		if !v.Drain {
			eps = append(eps, resolver.Endpoint{Addr: v.Addr, Target: "127.0.0.1", Weight: v.Weight})
		}
	}
	slices.SortFunc(eps, func(a, b resolver.Endpoint) int { return strings.Compare(a.Addr, b.Addr) })
	return resolver.State{Endpoints: eps, Trust: resolver.Confirmed, Confirmed: time.Now()}
}
