//go:build linux

package machines

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// head is the part of the head that says where a registry is.
var head = regexp.MustCompile(`"life":"\w+","revision":\d+,"spares":\d+`)

// keys are the keys of dnsd in an etcd, with their values, but not those of the present
// members.
func (e *etcd) keys() (all string) {
	e.t.Helper()
	e.do("read", func(ctx context.Context, c *clientv3.Client) error {
		r, err := c.Get(ctx, "/rollcall/", clientv3.WithPrefix())
		if err != nil {
			return err
		}
		for _, kv := range r.Kvs {
			switch key, value := string(kv.Key), string(kv.Value); {
			case strings.Contains(key, "/member/"), strings.Contains(key, "/spare/"):
			case strings.HasSuffix(key, "/head"):
				all += key + "=" + head.FindString(value) + "\n"
			default:
				all += key + "=" + value + "\n"
			}
		}
		return nil
	})
	return all
}

// TestWhatDoesNotFitAnEtcdIsRefused: with one clear line, and nothing is overwritten.
func TestWhatDoesNotFitAnEtcdIsRefused(t *testing.T) {
	need(t)
	t.Parallel()
	e := newEtcd(t)
	s := newShared(t, e, 1)
	a, b := s.dnsds[0], s.add()
	s.write(a, time.Now())
	await(t, "the spare keys are filled", func() bool { return strings.Contains(e.keys(), `"spares":1000`) })
	before := e.keys()

	// A second zone under the prefix.
	s.shares(b, e)
	rest := b.rest
	b.rest = "" // its name server has a name in zone svc
	b.corefile = strings.Replace(b.text(), "svc:5300", "other:5300", 1)
	b.corefile = strings.Replace(b.corefile, "name b", "name b\n        prefix /rollcall/svc", 1)
	b.start()
	b.fails("svc.")

	// The light dnsd.
	b.corefile, b.rest = "", rest
	b.run("light")
	b.fails("store etcd needs the full dnsd")

	// Other settings are warned of, by both.
	b.rest = strings.Replace(b.rest, "10.77.255.253", "10.77.255.252", 1)
	b.start()
	s.ready(a, b)
	b.process.says("settings of the zone differ from those of the writer")
	b.process.stop()
	if after := e.keys(); after != before {
		t.Errorf("what is in etcd was changed:\n%s\nbefore it was\n%s", after, before)
	}

	// A password that is asked for, and wrong ones.
	e.do("ask for passwords", func(ctx context.Context, c *clientv3.Client) error {
		for user, password := range map[string]string{"root": "root-password", "rollcall": "right"} {
			if _, err := c.UserAdd(ctx, user, password); err != nil {
				return err
			}
		}
		if _, err := c.UserGrantRole(ctx, "root", "root"); err != nil {
			return err
		}
		if _, err := c.RoleAdd(ctx, "rollcall"); err != nil {
			return err
		}
		if _, err := c.RoleGrantPermission(ctx, "rollcall", "/rollcall/svc", clientv3.GetPrefixRangeEnd("/rollcall/svc"), clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
			return err
		}
		if _, err := c.UserGrantRole(ctx, "rollcall", "rollcall"); err != nil {
			return err
		}
		_, err := c.AuthEnable(ctx)
		return err
	})
	a.process.kill() // it has no password
	s.shares(b, e)
	b.start()
	b.fails("user NAME file PATH")
	b.store = strings.Replace(b.store, "insecure", "insecure\n        user rollcall file password", 1)
	b.machine.write("password", "wrong\n")
	b.start()
	b.fails("invalid user ID or password")
	b.machine.write("password", "right\n")
	b.start()
	s.ready(b)
	s.write(b, time.Now())
}

// text is the Corefile that start writes.
func (d *dnsd) text() string {
	return fmt.Sprintf(corefile, d.addr, "insecure", d.store, here, d.rest)
}

// TestAnEtcdThatIsTooOldIsRefused: with its version.
func TestAnEtcdThatIsTooOldIsRefused(t *testing.T) {
	need(t)
	t.Parallel()
	l, err := net.Listen("tcp", here+":0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterMaintenanceServer(server, oldEtcd{})
	pb.RegisterKVServer(server, pb.UnimplementedKVServer{})
	go server.Serve(l)
	t.Cleanup(server.Stop)
	s := &site{t: t}
	d := s.add()
	d.store = fmt.Sprintf("store etcd http://%s {\n insecure\n name a\n }", l.Addr())
	d.rest = "ns ns.svc. 10.77.255.253"
	d.start()
	d.fails("3.3.27")
}

// oldEtcd says its version.
type oldEtcd struct {
	pb.UnimplementedMaintenanceServer
}

func (oldEtcd) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: &pb.ResponseHeader{MemberId: 1}, Version: "3.3.27", Leader: 1}, nil
}

// TestPeersThatDoNotFitAreRefused: a directory of another cluster, a peer that is no dnsd,
// and the light dnsd. A peer that is away is waited for, and the log says so.
func TestPeersThatDoNotFitAreRefused(t *testing.T) {
	need(t)
	t.Parallel()
	s, other := &site{t: t}, &site{t: t}
	a, alone := s.add(), other.add()
	other.peers(alone)
	alone.start()
	other.ready(alone)
	other.write(alone, time.Now())
	alone.process.stop()

	b, c := s.add(), s.add()
	s.peers(a, b, c)
	a.run("light")
	a.fails("store cluster needs the full dnsd")

	a.start()
	a.process.says("started")
	a.digs(calledService, "status: SERVFAIL", "EDE: 14 (Not Ready)")
	if why := a.unready(); !strings.Contains(why, "it has no content yet") {
		t.Errorf("a dnsd without peers says of being ready: %s", why)
	}
	st, err := a.status()
	if err != nil || st.Etcd == nil || st.Etcd.Error == "" {
		t.Errorf("a dnsd without peers says of the cluster: %+v %+v %v", st, st.Etcd, err)
	}
	b.start()
	s.ready(a, b)

	// c has the data of another cluster.
	if err := os.CopyFS(filepath.Join(c.dir, "etcd"), os.DirFS(filepath.Join(alone.dir, "etcd"))); err != nil {
		t.Fatal(err)
	}
	before := tree(t, c)
	c.start()
	c.fails("has the data of another cluster than the one that runs at")
	if after := tree(t, c); after != before {
		t.Errorf("the directory of another cluster was changed:\n%s\nbefore it was\n%s", after, before)
	}

	// c is told of another machine in place of b, on which something else answers.
	if err := os.RemoveAll(filepath.Join(c.dir, "etcd")); err != nil {
		t.Fatal(err)
	}
	c.store = strings.Replace(c.store, "https://"+b.addr+":2380", "https://"+b.addr+":8054", 1)
	c.start()
	c.fails("peers")
	s.peers(a, b, c)
	c.start()
	s.ready(a, b, c)
}

// tree lists the files below the directory of a dnsd's etcd, with their sizes.
func tree(t *testing.T, d *dnsd) (all string) {
	t.Helper()
	root := filepath.Join(d.dir, "etcd")
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			all += fmt.Sprintf("%s %d %v\n", path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
