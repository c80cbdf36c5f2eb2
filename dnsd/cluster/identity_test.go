package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhoseDataADirectoryHas(t *testing.T) {
	t.Parallel()
	if id, err := readIdentity(t.TempDir()); id != nil || err != nil {
		t.Errorf("an empty directory: %+v, %v", id, err)
	}
	g := newGroup(t, 1, nil)
	g.start("a")
	g.works("a")
	a := g.open["a"]
	if _, err := readIdentity(a.dir); !errors.Is(err, errLocked) {
		t.Errorf("while it runs: %v", err)
	}
	member, cluster := uint64(a.etcd.Server.MemberID()), clusterOf(t, a)
	g.stop("a")
	id, err := readIdentity(a.dir)
	if err != nil || id.member != member || id.cluster != cluster || len(id.members) != 1 {
		t.Fatalf("%+v, %v", id, err)
	}
	if m := byID(id.members, member); m == nil || m.Name != "a" || !m.at(g.base.Peers[0].URL) || m.at("http://127.0.0.1:1") {
		t.Errorf("%+v", m)
	}
	logs, err := filepath.Glob(filepath.Join(a.dir, "member", "wal", "*.wal"))
	if err != nil || len(logs) != 1 {
		t.Fatal(logs, err)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"empty":     func(b []byte) []byte { return nil },
		"short":     func(b []byte) []byte { return b[:40] },
		"zeros":     func(b []byte) []byte { clear(b); return b },
		"no etcd's": func(b []byte) []byte { return []byte(strings.Repeat("not a log ", 100)) },
		"damaged":   func(b []byte) []byte { b[30] ^= 0xff; return b },
	} {
		dir := filepath.Join(t.TempDir(), "member", "wal")
		b, err := os.ReadFile(logs[0])
		if err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(logs[0])), change(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if id, err := readIdentity(filepath.Dir(filepath.Dir(dir))); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}
