//go:build linux

package machines

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// An etcd is a server of Debian's etcd, version 3.4, on a machine of its own.
type etcd struct {
	*machine
	process *process // of its last start
	data    string   // its directory
	args    []string // of its command line
	admin   *clientv3.Client
}

// newEtcd starts a server, with more words on its command line.
func newEtcd(t *testing.T, args ...string) *etcd {
	t.Helper()
	need(t, "etcd", "etcdctl")
	e := &etcd{machine: newMachine(t), data: "data", args: args}
	e.start()
	admin, err := clientv3.New(clientv3.Config{Endpoints: []string{e.url()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	e.admin = admin
	t.Cleanup(func() { admin.Close() })
	e.answers()
	return e
}

func (e *etcd) url() string  { return "http://" + e.addr + ":2379" }
func (e *etcd) peer() string { return "http://" + e.addr + ":2380" }

// start starts it, again with what is in its directory.
func (e *etcd) start() {
	e.t.Helper()
	args := append([]string{
		"--name", "given", "--data-dir", e.data, "--logger", "zap",
		"--listen-client-urls", e.url(), "--advertise-client-urls", e.url(),
		"--listen-peer-urls", e.peer(), "--initial-advertise-peer-urls", e.peer(), "--initial-cluster", "given=" + e.peer(),
	}, e.args...)
	e.process = e.launch("etcd", nil, "etcd", args...)
}

// answers waits until it answers.
func (e *etcd) answers() {
	e.t.Helper()
	await(e.t, "etcd answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := e.admin.Get(ctx, "ready")
		return err == nil
	})
}

// do lets an operator do something.
func (e *etcd) do(what string, f func(ctx context.Context, c *clientv3.Client) error) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f(ctx, e.admin); err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
}

// ctl runs etcdctl on the machine.
func (e *etcd) ctl(args string) {
	e.t.Helper()
	p := e.launch("etcdctl", []string{"ETCDCTL_API=3"}, "etcdctl", strings.Fields(args)...)
	<-p.ended
	if p.err != nil {
		e.t.Fatalf("etcdctl %s: %v: %s", args, p.err, p.output())
	}
}

// newShared starts dnsd that share an etcd, and waits until they are ready.
func newShared(t *testing.T, e *etcd, n int) *site {
	t.Helper()
	s := &site{t: t}
	for range n {
		s.add()
	}
	for _, d := range s.dnsds {
		s.shares(d, e)
		d.start()
	}
	s.ready(s.dnsds...)
	return s
}

// shares lets a dnsd share an etcd. Its name servers are those of all.
func (s *site) shares(d *dnsd, e *etcd) {
	d.store = fmt.Sprintf("store etcd %s {\n        insecure\n        name %s\n        session %v\n    }", e.url(), d.name, session)
	d.rest = "ns ns.svc. 10.77.255.253"
}
