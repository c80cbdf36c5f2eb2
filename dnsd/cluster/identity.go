package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

// peerMember is one of etcd's servers, as etcd writes it in its database and on its
// peers' HTTP path /members.
type peerMember struct {
	ID         uint64   `json:"id"`
	Name       string   `json:"name"` // empty: it was added, and has not started yet
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"` // empty: it has not started yet
}

// identity is whose data a directory has.
type identity struct {
	cluster, member uint64
	members         []peerMember // as far as the directory knows
}

// errLocked: the directory belongs to a process that runs.
var errLocked = errors.New("another process uses it")

// readIdentity reads a data directory of etcd. It is nil if there is no data.
func readIdentity(dir string) (*identity, error) {
	logs := filepath.Join(dir, "member", "wal")
	if !wal.Exist(logs) {
		return nil, nil
	}
	id := new(identity)
	if err := id.readLog(logs); err != nil {
		return nil, fmt.Errorf("%s: %w", logs, err)
	}
	db := filepath.Join(dir, "member", "snap", "db")
	if err := id.readMembers(db); err != nil {
		return nil, fmt.Errorf("%s: %w", db, err)
	}
	return id, nil
}

// maxRecords bounds how far readLog looks. Etcd writes what is looked for as the second
// record of each file.
const maxRecords = 10

// readLog reads the ids at the beginning of the newest file of the log.
func (id *identity) readLog(dir string) error {
	names, err := fs.Glob(os.DirFS(dir), "*.wal")
	if err != nil || len(names) == 0 {
		return errors.Join(errors.New("it has no log"), err)
	}
	slices.Sort(names)
	f, err := os.Open(filepath.Join(dir, names[len(names)-1]))
	if err != nil {
		return err
	}
	defer f.Close()
	decoder := wal.NewDecoder(fileutil.NewFileReader(f))
	var record walpb.Record
	for range maxRecords {
		if err := decoder.Decode(&record); err != nil {
			if err == io.EOF {
				break
			}
			return err
		}
		switch record.GetType() {
		case wal.CrcType:
			decoder.UpdateCRC(record.GetCrc())
		case wal.MetadataType:
			var m etcdserverpb.Metadata
			if err := proto.Unmarshal(record.GetData(), &m); err != nil {
				return err
			}
			id.member, id.cluster = m.GetNodeID(), m.GetClusterID()
			return nil
		}
	}
	return errors.New("the beginning of the log is not etcd's")
}

// lockTime is how long readMembers waits for another process.
const lockTime = time.Second

// readMembers reads the list of members in the database, if there is one.
func (id *identity) readMembers(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTime})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return errLocked
	case err != nil:
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("members"))
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(_, v []byte) error {
			var m peerMember
			if err := json.Unmarshal(v, &m); err != nil {
				return fmt.Errorf("the list of members: %w", err)
			}
			id.members = append(id.members, m)
			return nil
		})
	})
}

// byID finds a member.
func byID(members []peerMember, id uint64) *peerMember {
	for i := range members {
		if members[i].ID == id {
			return &members[i]
		}
	}
	return nil
}

// at says whether a member has a peer URL.
func (m *peerMember) at(url string) bool {
	return slices.ContainsFunc(m.PeerURLs, func(u string) bool { return strings.EqualFold(u, url) })
}

// Tests: identity_test.go.
