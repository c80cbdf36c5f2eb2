package boltstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
)

func instance(id string) registry.Instance {
	return registry.Instance{
		Key:  registry.Key{Service: "_math._tcp", ID: id},
		Host: "10.0.0.7", Port: 8080, Priority: 10, Weight: 100,
	}
}

// filled makes a store with n instances and returns its bytes.
func filled(t testing.TB, path string, n int) []byte {
	t.Helper()
	r := open(t, path)
	for i := range n {
		in := instance(fmt.Sprintf("a%04d", i))
		in.Incarnation = 3
		if _, err := r.Register(context.Background(), in); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Deregister(context.Background(), instance("a0000").Key, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, path string) *registry.Registry {
	t.Helper()
	r, err := tryOpen(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryOpen(path string) (*registry.Registry, error) {
	b, err := boltstore.Open(path)
	if err != nil {
		return nil, err
	}
	return registry.Open(registry.Config{Backend: b})
}

func TestDamagedOrForeignFileIsRefusedAndKept(t *testing.T) {
	whole := filled(t, filepath.Join(tempDir(t), "svc.db"), 300)
	for _, c := range []struct {
		name, word string
		make       func(path string) []byte
	}{
		{"empty", "empty", func(string) []byte { return nil }},
		{"text", "invalid", func(string) []byte { return []byte("hello\n") }},
		{"zeros", "invalid", func(string) []byte { return make([]byte, 64<<10) }},
		{"cut to half", "", func(string) []byte { return whole[:len(whole)/2] }},
		{"cut to a page", "", func(string) []byte { return whole[:4096] }},
		{"metas zeroed", "invalid", func(string) []byte {
			return append(make([]byte, 2*4096), whole[2*4096:]...)
		}},
		{"an instance changed", "the records are not those of transaction", func(string) []byte {
			return bytes.ReplaceAll(whole, []byte("10.0.0.7"), []byte("10.0.0.8"))
		}},
		{"an instance changed in a file without seals", "checksum", func(path string) []byte {
			write(t, path, bytes.ReplaceAll(whole, []byte("10.0.0.7"), []byte("10.0.0.8")))
			unsealed(t, path)
			return nil
		}},
		{"another program's", `another program, with the buckets ["theirs"]`, func(path string) []byte {
			edit(t, path, func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
			return nil
		}},
		{"a newer format", "run the program that wrote it", func(path string) []byte {
			write(t, path, whole)
			edit(t, path, func(tx *bolt.Tx) error {
				return tx.Bucket([]byte("rollcall")).Put([]byte("format"), []byte("rollcall registry 4"))
			})
			return nil
		}},
		{"a lost instance", "has 298 of 299 instances", func(path string) []byte {
			write(t, path, whole)
			unsealed(t, path)
			edit(t, path, func(tx *bolt.Tx) error {
				return tx.Bucket([]byte("instances")).Delete([]byte("_math._tcp\x00a0100"))
			})
			return nil
		}},
		{"a bucket lost", "no bucket fences", func(path string) []byte {
			write(t, path, whole)
			unsealed(t, path)
			edit(t, path, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("fences")) })
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(tempDir(t), "svc.db")
			if data := c.make(path); data != nil {
				write(t, path, data)
			} else if _, err := os.Stat(path); err != nil {
				write(t, path, nil)
			}
			before, _ := os.ReadFile(path)
			r, err := tryOpen(path)
			if err == nil {
				r.Close()
				t.Fatal("opened")
			}
			for _, word := range []string{path, c.word, "move the file away"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%v\ndoes not say %q", err, word)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// A bit that is flipped anywhere in a file that was closed is found, or does not matter.
// It never makes the store go back to the commit before.
func TestFlippedBitIsFoundOrHarmless(t *testing.T) {
	dir := tempDir(t)
	path := filepath.Join(dir, "svc.db")
	data := filled(t, path, 100)
	const stride = 97 // flipping a bit in every octet would take minutes
	var places []int
	for page := range 2 { // every octet of both metas and seals
		for at := range boltstore.SealEnd + 8 {
			places = append(places, page*pageSize+at)
		}
	}
	for at := boltstore.SealEnd; at < len(data); at += stride {
		places = append(places, at)
	}
	for _, at := range places {
		flipped := bytes.Clone(data)
		flipped[at] ^= 1 << (at % 8)
		write(t, path, flipped)
		r, err := tryOpen(path)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("byte %d: %v does not say where", at, err)
			}
			continue
		}
		v, _ := r.Service("_math._tcp")
		if len(v.Instances) != 99 || r.Revision() <= 101 {
			t.Errorf("byte %d: opened with %d instances at revision %d", at, len(v.Instances), r.Revision())
		}
		for _, l := range v.Instances {
			if l.Host != "10.0.0.7" || l.Port != 8080 || l.Incarnation != 3 {
				t.Errorf("byte %d: %#v", at, l.Instance)
			}
		}
		r.Close()
	}
}

func TestLockedFileIsRefusedSoon(t *testing.T) {
	path := filepath.Join(tempDir(t), "svc.db")
	r := open(t, path)
	defer r.Close()
	_, err := boltstore.Open(path)
	if err == nil || !strings.Contains(err.Error(), path+": locked by another process: is another dnsd running") {
		t.Errorf("Open = %v", err)
	}
}

func TestPathProblemsAreNamed(t *testing.T) {
	dir := tempDir(t)
	if _, err := boltstore.Open(dir); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a directory: %v", err)
	}
	file := filepath.Join(dir, "file")
	write(t, file, []byte("x"))
	if _, err := boltstore.Open(filepath.Join(file, "svc.db")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("below a file: %v", err)
	}
	deep := filepath.Join(dir, "data", "deep", "svc.db")
	b, err := boltstore.Open(deep)
	if err != nil {
		t.Fatalf("directories are made: %v", err)
	}
	b.Close()
	if left, _ := filepath.Glob(deep + ".new-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if info, err := os.Stat(deep); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file that only its owner can read", info, err)
	}
}

func TestCommitAfterPanicIsRefused(t *testing.T) {
	path := filepath.Join(tempDir(t), "svc.db")
	r := open(t, path)
	for i := range 200 {
		if _, err := r.Register(t.Context(), instance(fmt.Sprintf("a%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, 0); err != nil { // while it is in use
		t.Fatal(err)
	}
	for range 2 {
		_, err := r.Register(t.Context(), instance("late"))
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("Register = %v", err)
		}
	}
	if v, _ := r.Service("_math._tcp"); len(v.Instances) != 200 {
		t.Errorf("%d instances are still published, want 200", len(v.Instances))
	}
	if err := r.Close(); err == nil {
		t.Error("Close returned no error")
	}
}

// The first format also held the history of changes.
func TestFirstFormatIsTakenOver(t *testing.T) {
	path := filepath.Join(tempDir(t), "svc.db")
	filled(t, path, 300)
	unsealed(t, path)
	edit(t, path, func(tx *bolt.Tx) error {
		history, err := tx.CreateBucket([]byte("history"))
		if err != nil {
			return err
		}
		for i := range uint64(301) {
			if err := history.Put(binary.BigEndian.AppendUint64(nil, i+1), bytes.Repeat([]byte("change"), 20)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte("rollcall")).Put([]byte("format"), []byte("rollcall registry 1"))
	})
	for range 2 {
		r := open(t, path)
		if v, _ := r.Service("_math._tcp"); len(v.Instances) != 299 || r.Revision() <= 301 {
			t.Errorf("%d instances at revision %d", len(v.Instances), r.Revision())
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	edit(t, path, func(tx *bolt.Tx) error {
		if got := string(tx.Bucket([]byte("rollcall")).Get([]byte("format"))); got != "rollcall registry 3" || tx.Bucket([]byte("history")) != nil {
			return fmt.Errorf("it is still of format %q", got)
		}
		return nil
	})
}

// unsealed takes the seals out of a file, as if an older release had written it.
func unsealed(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := range 2 {
		clear(data[page*pageSize+boltstore.SealStart : page*pageSize+boltstore.SealEnd])
	}
	write(t, path, data)
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func edit(t testing.TB, path string, change func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}
