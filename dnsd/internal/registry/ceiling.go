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
	// ceilingStep is how many revisions are reserved at once: one small file
	// written and synced for so many changes.
	ceilingStep = 10_000
	// lifeStep is what a life begins above what its backend holds: others may have
	// seen more than a copy that was put back knows, where the ceiling came out of
	// the same copy. A secondary can miss two thousand lives before serials so far
	// apart cannot be compared.
	lifeStep = 1 << 20
	// farthest a clock may lead: serials further apart than 1 << 31 cannot be
	// compared (RFC 1982 section 3.2), and a clock may be wrong.
	farthest = 1 << 30
	// ceilingRetry is the pause after the file could not be written.
	ceilingRetry = 5 * time.Second
)

// ByClock is the revision to begin after, by the clock: it counts units of 64 ms.
// A registry that changes no more than 15 times a second, on average over its
// life, never outruns it. Finer units would not do: within four years the low 32
// bits would pass half their space, and serials that far apart cannot be compared.
func ByClock(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) >> 6 }

// ceiling keeps the highest revision that may have been given out in a file of
// its own, which no copy of a store brings back and no kill takes away. It is
// written before the first revision beyond it is given out.
type ceiling struct {
	path  string // "": there is none
	high  uint64 // what the file says
	log   *slog.Logger
	bad   bool // it could not be written
	again time.Time
}

// read returns the highest revision that the lives before may have given out; 0:
// nobody knows.
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

// cover sees to it that the file knows of revision, and says whether it does. When
// it cannot be written, that is logged, and the clock has to do at the next start.
func (c *ceiling) cover(revision uint64) (known bool) {
	switch {
	case c.path == "" || revision <= c.high:
		return true
	case c.bad && time.Now().Before(c.again):
		return false
	}
	// Another process may have written: what it gave out counts, too.
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

// since is how far the clock went on after the file was written: what tells the
// lives apart that could not write it.
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
		return 0, errors.New("not a whole file of this kind: delete it to begin by the clock")
	}
	return high, nil
}

// writeCeiling replaces the file as a whole. Where no new one can be made, as on a
// full disk, the octets of the old one are written over: they are in one sector, and
// a torn one would not be believed.
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
		return errors.Join(err, f.Close(), errors.New("of another length"))
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

// syncDir makes a rename in dir durable, where directories can be synced.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // Windows cannot open one; the file itself was synced
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
