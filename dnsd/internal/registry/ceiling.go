package registry

import (
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// ceilingStep is how many revisions are reserved at once. The file is written and
	// synced once for so many changes.
	ceilingStep = 10_000
	// lifeStep is the distance from the highest revision in the backend to the first of a
	// new life. If the backend and the ceiling were both replaced by an old copy, clients
	// may have seen higher revisions than the copy holds. A secondary can miss two
	// thousand lives before the serials are too far apart to be compared.
	lifeStep = 1 << 20
	// farthest is how far ahead of the store the clock is believed. A clock may be wrong,
	// and serials further apart than 1 << 31 cannot be compared (RFC 1982 section 3.2).
	farthest = 1 << 30
	// ceilingRetry is the pause after a write of the file failed.
	ceilingRetry = 5 * time.Second
)

// ByClock returns the revision at which a registry begins that remembers none: the time
// in units of 64 ms. A registry that changes no more than 15 times a second, on average
// over its life, does not pass the clock. With finer units the low 32 bits would pass
// half of their range within four years, and serials that far apart cannot be compared.
func ByClock(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) >> 6 }

// ceiling keeps the highest revision that may have been given out in a file of its own,
// so that an old copy of the store does not lower it. The file is written before a
// revision above it is given out, so a kill does not lower it either.
type ceiling struct {
	path  string // "": there is no file
	high  uint64 // the number in the file
	log   *slog.Logger
	bad   bool      // the last write failed
	again time.Time // when to try again after a write failed
}

// read returns the highest revision that earlier lives may have given out; 0 if that is
// unknown.
func (c *ceiling) read() uint64 {
	if c.path == "" {
		return 0
	}
	text, err := os.ReadFile(c.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err == nil {
		c.high, err = parseCeiling(string(text))
	}
	if err != nil {
		c.log.Error("registry: cannot read the highest revision given out, beginning by the clock", "file", c.path, "err", err)
	}
	return c.high
}

// cover makes sure that the number in the file is at least revision, and says whether it
// is. If the file cannot be written, it logs that, and the next life begins by the
// clock.
func (c *ceiling) cover(revision uint64) (known bool) {
	switch {
	case c.path == "" || revision <= c.high:
		return true
	case c.bad && time.Now().Before(c.again):
		return false
	}
	// Another process may have written the file. Its revisions count as well.
	if text, err := os.ReadFile(c.path); err == nil {
		if high, err := parseCeiling(string(text)); err == nil {
			revision = max(revision, high)
		}
	}
	err := writeCeiling(c.path, revision+ceilingStep)
	if err == nil {
		c.high, c.bad = revision+ceilingStep, false
		return true
	}
	if !c.bad {
		c.log.Error("registry: cannot keep the highest revision given out: after a crash the clock decides where revisions begin, and secondaries may keep a wrong zone if there were more than 15 changes a second",
			"file", c.path, "err", err)
	}
	c.bad, c.again = true, time.Now().Add(ceilingRetry)
	return false
}

// since returns how far the clock has advanced since the file was written. Lives that
// could not write the file differ by it.
func (c *ceiling) since(clock uint64) uint64 {
	info, err := os.Stat(c.path)
	if err != nil {
		return 0
	}
	written := ByClock(info.ModTime())
	if clock < written || clock-written > farthest {
		return 0
	}
	return clock - written
}

const ceilingFormat = "rollcall ceiling 1"

func formatCeiling(high uint64) string {
	body := fmt.Sprintf("%s\n%d\n", ceilingFormat, high)
	return fmt.Sprintf("%s%08x\n", body, crc32.ChecksumIEEE([]byte(body)))
}

func parseCeiling(text string) (high uint64, err error) {
	var body, sum string
	if i := strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n'); i >= 0 {
		body, sum = text[:i+1], text[i+1:]
	}
	if _, err := fmt.Sscanf(body, ceilingFormat+"\n%d\n", &high); err != nil || text != formatCeiling(high) || sum == "" {
		return 0, errors.New("damaged, or not a file of this kind: delete it to begin by the clock")
	}
	return high, nil
}

// writeCeiling replaces the file as a whole. If no new file can be made, as on a full
// disk, it writes over the old one: the octets are in one sector, and a torn write fails
// the checksum.
func writeCeiling(path string, high uint64) error {
	err := replaceCeiling(path, high)
	if err != nil && overwriteCeiling(path, high) == nil {
		return nil
	}
	return err
}

func overwriteCeiling(path string, high uint64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	text := formatCeiling(high)
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(text)) {
		return errors.Join(err, f.Close(), errors.New("the file has another length"))
	}
	_, err = f.WriteAt([]byte(text), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// replaceCeiling makes a new file, syncs it, and gives it the name.
func replaceCeiling(path string, high uint64) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(formatCeiling(high))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename in dir durable, if the system can sync a directory.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // Windows cannot open a directory; the file itself was synced
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
