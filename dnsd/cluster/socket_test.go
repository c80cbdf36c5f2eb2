package cluster

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASocketIsPrivateAndReplacesAnOldOne(t *testing.T) {
	private, path := t.TempDir(), filepath.Join(t.TempDir(), "etcd.sock")
	old, err := listenSocket(private, path)
	if err != nil {
		t.Fatal(err)
	}
	old.UnixListener.Close() // as after kill -9: the file stays
	s, err := listenSocket(private, path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(private); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestSocketsThatCannotBe(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", maxSocketPath))
	if _, err := listenSocket(t.TempDir(), long); err == nil || !strings.Contains(err.Error(), "the path is too long for a socket") {
		t.Errorf("the error is %v", err)
	}
	private := t.TempDir()
	if _, err := listenSocket(private, filepath.Join(t.TempDir(), "nowhere", "s")); err == nil {
		t.Error("a socket in no directory")
	}
	if left, err := os.ReadDir(private); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}
