package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

func TestThreeServersWorkUntilTwoAreAway(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, newAuthority(t, "cluster"))
	g.start("a")
	// Machines are never started in the same moment. Until there is a majority, a server
	// answers that it is not available.
	if _, _, err := g.open["a"].Get(soon(t, time.Minute), "k"); !isUnavailable(err) {
		t.Errorf("a alone: %v", err)
	}
	if _, err := g.open["a"].Txn(soon(t, time.Minute), put("k", "1")); !isUnavailable(err) {
		t.Errorf("a alone: %v", err)
	}
	g.start("b")
	g.works("a", "b")
	g.start("c")
	g.works("a", "b", "c")
	g.all(3)

	w := g.open["c"].Watch(t.Context(), "k", 0)
	defer w.Close()
	must(t, g.open["a"], put("k", "1"))
	if c, err := w.Next(soon(t, time.Minute)); err != nil || string(c.Events[0].Value) != "1" {
		t.Errorf("the watch: %+v, %v", c, err)
	}
	g.stop("a")
	g.works("b", "c")
	g.stop("b")
	await(t, func() bool {
		_, _, err := g.open["c"].Get(soon(t, time.Minute), "k")
		return isUnavailable(err)
	})
	for { // the watch may first have the writes that were done
		if _, err := w.Next(soon(t, time.Minute)); err != nil {
			if !errors.Is(err, kv.ErrUnavailable) {
				t.Errorf("the watch: %v", err)
			}
			break
		}
	}
	if st := g.open["c"].Status(t.Context()); len(st.Nodes) != 3 {
		t.Errorf("the status is %+v", st)
	}
	g.start("b")
	g.works("c", "b")
	g.start("a")
	g.works("a")
	if got := g.get("a", "k"); got != "1" {
		t.Errorf("k is %q", got)
	}
}

// TestOneServerAlone is a cluster of one, for a start.
func TestOneServerAlone(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, nil)
	g.start("a")
	g.works("a")
	h := clusterOf(t, g.open["a"])
	g.stop("a")
	g.start("a")
	g.works("a")
	if again := clusterOf(t, g.open["a"]); again != h {
		t.Errorf("the cluster is %x, and was %x", again, h)
	}
	if l := g.open["a"].Limits(); l.Ops != embeddedOps || l.Bytes != embeddedBytes {
		t.Errorf("%+v", l)
	}
}

func clusterOf(t *testing.T, s kv.Store) uint64 {
	t.Helper()
	_, h, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	return h.Cluster
}

// TestALeaderThatStopsHandsOver: the others need no election time.
func TestALeaderThatStopsHandsOver(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, nil)
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	g.all(3)
	await(t, func() bool { return g.leader() != "" })
	leader, other := g.leader(), "a"
	if leader == other {
		other = "b"
	}
	old := g.open[leader].etcd.Server.MemberID()
	g.stop(leader)
	if now := g.open[other].etcd.Server.Leader(); now == old || now == 0 {
		t.Errorf("the leader is %v after %v has stopped", now, old)
	}
	g.works(other)
}

// TestAStopOfAllIsShort: the last one that leads has no other to hand over to.
func TestAStopOfAllIsShort(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	g.all(3)
	began := time.Now()
	var all sync.WaitGroup
	for name, e := range g.open {
		all.Go(func() {
			if err := e.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
	if d := time.Since(began); d > 4*handOverTime {
		t.Errorf("it took %v", d)
	}
}

// TestAStopAfterTheLastWordIsShort: a goroutine of etcd that waits for ever may have a lock
// that its stop needs.
func TestAStopAfterTheLastWordIsShort(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, nil)
	g.start("a")
	g.works("a")
	e := g.open["a"]
	delete(g.open, "a")
	lock := e.etcd.Server.Cluster().(sync.Locker)
	lock.Lock()
	defer lock.Unlock()
	go e.etcd.GetLogger().Fatal("failed to save")
	<-e.closing.Done()
	began := time.Now()
	if err := e.Close(); err == nil || !strings.Contains(err.Error(), "etcd did not stop after it had failed: failed to save") {
		t.Errorf("the error is %v", err)
	}
	if d := time.Since(began); d > 5*stuckTime {
		t.Errorf("it took %v", d)
	}
}

// TestDataThatWerePutBackFromACopy: etcd ends, because the others know of more that this server
// has confirmed, and says what to do.
func TestDataThatWerePutBackFromACopy(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3, nil)
	g.start("a", "b", "c")
	g.works("a", "b", "c")
	g.all(3)
	saved := t.TempDir()
	g.stop("c")
	if err := os.CopyFS(saved, os.DirFS(g.dirs["c"])); err != nil {
		t.Fatal(err)
	}
	g.start("c")
	g.works("c")
	for i := range 20 {
		must(t, g.open["a"], put("k", fmt.Sprint(i)))
	}
	g.stop("c")
	term := g.open["a"].etcd.Server.Term()
	if err := os.RemoveAll(g.dirs["c"]); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(g.dirs["c"], os.DirFS(saved)); err != nil {
		t.Fatal(err)
	}
	e, err := g.try(g.config("c"))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ended := func() bool { return e.why() != nil }
	// A leader that was elected meanwhile does not know what the server has confirmed.
	await(t, func() bool { return ended() || g.open["a"].etcd.Server.Term() != term })
	if why := fmt.Sprint(e.why()); ended() && (!strings.Contains(why, "remove the peer from the cluster, and add it again") || !strings.Contains(why, g.dirs["c"])) {
		t.Errorf("it ended because %s", why)
	}
	g.works("a", "b")
}

// TestEtcdctlHasASocket: an operator makes a snapshot.
func TestEtcdctlHasASocket(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, nil)
	g.start("a")
	g.works("a")
	path := filepath.Join(g.dirs["a"], "etcd.sock")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("%v, %v", info, err)
	}
	admin, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + path}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if r, err := admin.Get(soon(t, time.Minute), "/works/a"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("%v, %v", r, err)
	}
	snapshot, err := admin.Snapshot(soon(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	snapshot.Close()
	if info, err := os.Stat(filepath.Join(g.dirs["a"], "etcd")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	g.stop("a")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

// TestALargeTransaction is a batch of the registry, and its head.
func TestALargeTransaction(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.start("a")
	g.works("a")
	txn := put("head", strings.Repeat("x", 3<<20))
	for i := range 4096 {
		txn.Then = append(txn.Then, kv.Op{Key: fmt.Sprintf("/i/%d", i), Value: []byte(strings.Repeat("y", 900))})
	}
	r, err := g.open["a"].Txn(t.Context(), txn)
	for errors.Is(err, kv.ErrUncertain) { // on a slow machine etcd gives up waiting for itself
		r, err = g.open["a"].Txn(t.Context(), txn)
	}
	if err != nil || !r.Done {
		t.Fatal(r, err)
	}
	w := g.open["a"].Watch(t.Context(), "", r.Header.Revision-1)
	defer w.Close()
	if c, err := w.Next(soon(t, time.Minute)); err != nil || len(c.Events) != len(txn.Then) {
		t.Errorf("%d events, %v", len(c.Events), err)
	}
	txn.Then[0].Value = make([]byte, embeddedBytes)
	if _, err := g.open["a"].Txn(t.Context(), txn); !errors.Is(err, kv.ErrTooLarge) {
		t.Errorf("the error is %v", err)
	}
}
