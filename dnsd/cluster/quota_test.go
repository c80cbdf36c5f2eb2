package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/page"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// TestAQuotaThatIsUsedUp is what an operator sees, and mends.
func TestAQuotaThatIsUsedUp(t *testing.T) {
	e := startEtcd(t, func(cfg *embed.Config) { cfg.QuotaBackendBytes = 4 << 20 })
	s := e.open(t)
	l, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	head := must(t, s, put("head", "0", "removable", "x"))
	value := bytes.Repeat([]byte("x"), 100<<10)
	for i := 1; ; i++ {
		r, err := s.Txn(t.Context(), kv.Txn{
			If:   []kv.Compare{{Key: "head", Is: head}},
			Then: []kv.Op{{Key: "head", Value: fmt.Append(nil, i)}, {Key: "large", Value: value}},
		})
		if errors.Is(err, kv.ErrUncertain) { // etcd has written its file in between: it was done
			p, _, err := s.Get(t.Context(), "head")
			if err != nil {
				t.Fatal(err)
			}
			head = p.Modified
			continue
		}
		if err != nil {
			if !errors.Is(err, kv.ErrNoSpace) {
				t.Fatal(err)
			}
			break
		}
		if i > 10000 { // etcd looks at the size of its file, which is written ten times a second
			t.Fatal("the quota is not used up")
		}
		head = r.Header.Revision
	}
	if p, _, err := s.Get(t.Context(), "head"); err != nil || p.Modified != head {
		t.Fatalf("the refused transaction was done: %+v, %v", p, err)
	}
	if st := s.Status(t.Context()); st.Alarm != "NOSPACE" {
		t.Errorf("the alarm is %q", st.Alarm)
	}
	if _, err := s.Grant(t.Context(), time.Minute); !errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("a grant: %v", err)
	}
	if err := s.KeepAlive(t.Context(), l.ID); err != nil {
		t.Errorf("a keepalive: %v", err)
	}
	must(t, s, kv.Txn{If: []kv.Compare{{Key: "head", Is: head}}, Then: []kv.Op{{Key: "removable", Delete: true}}})

	// As docs/cluster.md says: compact, defragment, disarm.
	peertest.Need(t, "etcdctl")
	doc := page.Read(t, "docs/cluster.md")
	for _, name := range []string{"full.sh", "disarm.sh"} {
		lines := strings.ReplaceAll(doc.Block(t, name), "unix:///var/lib/dnsd/etcd/etcd.sock", e.url)
		sh := exec.CommandContext(t.Context(), "sh", "-ec", lines)
		sh.Env = append(os.Environ(), "ETCDCTL_API=3")
		if said, err := sh.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", lines, err, said)
		}
		if size := s.Status(t.Context()).Size; size > 1<<20 {
			t.Errorf("after %s the database has %d octets", name, size)
		}
	}
	must(t, s, put("head", "again"))
}

// TestNoSpaceOfATransactionThatWasDone: etcd says so when others used the space up
// between its two looks at the quota.
func TestNoSpaceOfATransactionThatWasDone(t *testing.T) {
	fenced := kv.Txn{
		If:   []kv.Compare{{Key: "member", Created: true, Is: 3}, {Key: "head", Is: 7}},
		Then: []kv.Op{{Key: "gone", Delete: true}, {Key: "i/a", Value: []byte("a")}, {Key: "head", Value: []byte("8")}},
	}
	free := put("a", "mine")
	absent := errors.New("absent")
	for _, tc := range []struct {
		name string
		txn  kv.Txn
		now  any // what the store has: *mvccpb.KeyValue, or an error
		want error
	}{
		{"fenced, not done", fenced, &mvccpb.KeyValue{Key: []byte("head"), Value: []byte("7"), ModRevision: 7}, kv.ErrNoSpace},
		{"fenced, done", fenced, &mvccpb.KeyValue{Key: []byte("head"), Value: []byte("8"), ModRevision: 8}, kv.ErrUncertain},
		{"fenced, and the store is away", fenced, rpctypes.ErrGRPCNoLeader, kv.ErrUncertain},
		{"free, not done", free, absent, kv.ErrNoSpace},
		{"free, another value", free, &mvccpb.KeyValue{Key: []byte("a"), Value: []byte("other"), ModRevision: 8}, kv.ErrNoSpace},
		{"free, done", free, &mvccpb.KeyValue{Key: []byte("a"), Value: []byte("mine"), ModRevision: 8}, kv.ErrUncertain},
	} {
		f := (&fake{txn: func(*pb.TxnRequest) (*pb.TxnResponse, error) { return nil, rpctypes.ErrGRPCNoSpace }}).start(t)
		s := f.open(t)
		f.get = func(r *pb.RangeRequest) (*pb.RangeResponse, error) {
			answer := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 9}}
			switch now := tc.now.(type) {
			case *mvccpb.KeyValue:
				if string(r.GetKey()) != string(now.GetKey()) {
					t.Errorf("%s: it looks at %s", tc.name, r.GetKey())
				}
				answer.Kvs = []*mvccpb.KeyValue{now}
			case error:
				if now != absent {
					return nil, now
				}
			}
			return answer, nil
		}
		if _, err := s.Txn(t.Context(), tc.txn); !errors.Is(err, tc.want) || errors.Is(err, kv.ErrNoSpace) && tc.want != kv.ErrNoSpace && !errors.Is(err, kv.ErrUncertain) {
			t.Errorf("%s: the error is %v", tc.name, err)
		}
	}
}
