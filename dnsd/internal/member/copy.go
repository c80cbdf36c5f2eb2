package member

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// The local copy is what a dnsd serves that starts while the store is away. It is a file
// of lines: what it is of, one instance or fence a line, and a checksum of all before.
const (
	copyFormat = "rollcall copy 1"
	// patienceAtStart is how long the store is waited for before the copy is served.
	patienceAtStart = 2 * time.Second
	// copyEvery is the shortest time between two copies.
	copyEvery = time.Second
	// copyShare is the longest part of the time in which a copy is written: one of it.
	copyShare = 20
	// unfinished follows the name of the copy in that of a file that becomes one.
	unfinished = ".new-"
	// longestLine bounds a line of the copy. An instance has less than 4 KiB.
	longestLine = 1 << 20
)

// copyHead is the second line of a copy.
type copyHead struct {
	Zone      string    `json:"zone"`
	Prefix    string    `json:"prefix"`
	Life      life      `json:"life"`
	Revision  uint64    `json:"revision"`
	Time      time.Time `json:"time"`
	Instances int       `json:"instances"`
	Fences    int       `json:"fences"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// keepCopy loads the copy if nothing comes from the store, and keeps it up to date.
func (m *Member) keepCopy(ctx context.Context) {
	if m.cfg.Copy == "" {
		return
	}
	m.removeUnfinished()
	m.awaitContent(ctx)
	var last registry.Position
	told := false
	for wait := copyEvery; ctx.Err() == nil; {
		reg := m.cfg.Registry
		if now := (registry.Position{Life: reg.Life(), Revision: reg.Revision()}); m.synced.Load() && now != last {
			began := time.Now()
			now, err := m.takeCopy()
			switch {
			case err == nil:
				last, told = now, false
			case !told:
				told = true
				m.cfg.Logger.Error("member: cannot write the local copy: without the store, this dnsd could not serve after a restart", "file", m.cfg.Copy, "err", err)
			}
			wait = max(copyEvery, copyShare*time.Since(began))
		}
		sleep(ctx, wait)
	}
	// A life begins far above the copies of the lives before, but not of its own. So the
	// copies must not lack a life.
	if m.synced.Load() && m.cfg.Registry.Life() != last.Life {
		if _, err := m.takeCopy(); err != nil && !told {
			m.cfg.Logger.Error("member: cannot write the local copy", "file", m.cfg.Copy, "err", err)
		}
	}
}

// awaitContent waits until there is content: that of the copy, if none comes from the
// store. A store that is being read is waited for, however long that takes.
func (m *Member) awaitContent(ctx context.Context) {
	for pause := patienceAtStart; ; pause = copyEvery {
		sleep(ctx, pause)
		if ctx.Err() != nil || m.cfg.Registry.Loaded() {
			return
		}
		if !m.cfg.Reload && (m.silent() >= patienceAtStart || m.unread.Load()) {
			m.serveCopy()
			return
		}
	}
}

// removeUnfinished removes what processes have left that were killed while they wrote a
// copy. With a million instances each has hundreds of megabytes.
func (m *Member) removeUnfinished() {
	dir, name := filepath.Split(m.cfg.Copy)
	all, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return // it is not there yet, or writing the copy will say why
	}
	for _, f := range all {
		if strings.HasPrefix(f.Name(), name+unfinished) {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				m.cfg.Logger.Warn("member: an unfinished local copy is left", "err", err)
			}
		}
	}
}

// takeCopy writes the copy, and returns what it is of.
func (m *Member) takeCopy() (registry.Position, error) {
	c := m.cfg.Registry.Content()
	return registry.Position{Life: c.Life, Revision: c.Revision}, writeCopy(m.cfg.Copy, m.cfg.Zone, m.cfg.Prefix, c)
}

// serveCopy gives the registry the content of the copy, if it has none yet.
func (m *Member) serveCopy() {
	c, written, err := readCopy(m.cfg.Copy, m.cfg.Zone, m.cfg.Prefix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.cfg.Logger.Warn("member: nothing comes from the store, and there is no local copy: DNS queries get SERVFAIL until it does", "file", m.cfg.Copy)
		return
	case err != nil:
		m.cfg.Logger.Error("member: nothing comes from the store, and the local copy cannot be used: DNS queries get SERVFAIL until it does", "file", m.cfg.Copy, "err", err)
		return
	}
	m.loading.Lock()
	defer m.loading.Unlock()
	if m.cfg.Registry.Loaded() {
		return
	}
	if err := m.cfg.Registry.Reset(c); err != nil {
		m.cfg.Logger.Error("member: the local copy cannot be used", "file", m.cfg.Copy, "err", err)
		return
	}
	m.loadedNow()
	m.cfg.Logger.Warn("member: nothing comes from the store: the local copy is served", "file", m.cfg.Copy, "written", written, "life", c.Life.String(), "revision", c.Revision)
}

// recall gives a registry without content that of the copy, if the store, at pos, has
// less: it was restored from an older state while no dnsd ran. Nothing else remembers the
// revisions that were given out since. The caller holds m.loading.
func (m *Member) recall(pos position) {
	if m.cfg.Copy == "" || m.cfg.Registry.Loaded() {
		return
	}
	h, err := readCopyHead(m.cfg.Copy)
	if err != nil || h.Zone != m.cfg.Zone || h.Prefix != m.cfg.Prefix || !pos.below(h.Revision, registry.Life(h.Life)) {
		return // a copy that cannot be read is written again
	}
	c, _, err := readCopy(m.cfg.Copy, m.cfg.Zone, m.cfg.Prefix)
	if err == nil {
		err = m.cfg.Registry.Reset(c)
	}
	if err != nil {
		m.cfg.Logger.Error("member: the local copy knows more than the store, and cannot be used: revisions may be given out again", "file", m.cfg.Copy, "err", err)
	}
}

// writeCopy replaces the copy as a whole.
func writeCopy(path, zone, prefix string, c registry.Content) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+unfinished+"*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = encodeCopy(f, zone, prefix, c)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func encodeCopy(f io.Writer, zone, prefix string, c registry.Content) error {
	var instances []*registry.Instance
	for in, err := range c.Instances {
		if err != nil {
			return err
		}
		instances = append(instances, in)
	}
	var fences []registry.Fence
	for f, err := range c.Fences {
		if err != nil {
			return err
		}
		fences = append(fences, f)
	}
	sum := crc32.New(castagnoli)
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	fmt.Fprintln(w, copyFormat)
	line := func(v any) { w.Write(append(encode(v), '\n')) }
	line(copyHead{zone, prefix, life(c.Life), c.Revision, time.Now().UTC(), len(instances), len(fences)})
	for _, in := range instances {
		line(registry.NewRecord(in))
	}
	for _, fence := range fences {
		line(newFence(fence))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f, "%08x\n", sum.Sum32())
	return err
}

// readCopy reads a whole copy, or returns an error.
func readCopy(path, zone, prefix string) (c registry.Content, written time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, written, err
	}
	defer f.Close()
	c, h, err := decodeCopy(f)
	if err != nil {
		return c, written, fmt.Errorf("damaged: %w", err)
	}
	if h.Zone != zone || h.Prefix != prefix {
		return c, written, fmt.Errorf("is of zone %s and prefix %s", h.Zone, h.Prefix)
	}
	return c, h.Time, nil
}

// readCopyHead reads only what a copy is of.
func readCopyHead(path string) (h copyHead, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	return newCopyReader(f).head()
}

// copyReader reads lines and sums them.
type copyReader struct {
	lines *bufio.Scanner
	sum   hash.Hash32
}

func newCopyReader(f io.Reader) *copyReader {
	r := &copyReader{bufio.NewScanner(f), crc32.New(castagnoli)}
	r.lines.Buffer(make([]byte, 1<<16), longestLine)
	return r
}

// head reads the first two lines.
func (r *copyReader) head() (h copyHead, err error) {
	first, err := r.next()
	if err != nil {
		return h, err
	}
	if string(first) != copyFormat {
		return h, errors.New("is no copy of this format")
	}
	fmt.Fprintln(r.sum, copyFormat)
	if err := r.read(&h); err != nil {
		return h, err
	}
	if h.Life == 0 || h.Instances < 0 || h.Fences < 0 {
		return h, errors.New("its second line is wrong")
	}
	return h, nil
}

func (r *copyReader) next() ([]byte, error) {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return nil, err
		}
		return nil, io.ErrUnexpectedEOF
	}
	return r.lines.Bytes(), nil
}

// read reads a line of JSON.
func (r *copyReader) read(v any) error {
	line, err := r.next()
	if err != nil {
		return err
	}
	r.sum.Write(line)
	r.sum.Write([]byte{'\n'})
	return json.Unmarshal(line, v)
}

func decodeCopy(f io.Reader) (c registry.Content, h copyHead, err error) {
	r := newCopyReader(f)
	if h, err = r.head(); err != nil {
		return c, h, err
	}
	var instances []*registry.Instance
	for range h.Instances {
		var record registry.Record
		if err := r.read(&record); err != nil {
			return c, h, err
		}
		in, err := record.Instance()
		if err != nil {
			return c, h, err
		}
		if n := len(instances); n > 0 && instances[n-1].Key.Compare(in.Key) >= 0 {
			return c, h, fmt.Errorf("%s is not in order", in.Key)
		}
		instances = append(instances, in)
	}
	var fences []registry.Fence
	for range h.Fences {
		var v fence
		if err := r.read(&v); err != nil {
			return c, h, err
		}
		remembered, err := v.fence()
		if err != nil {
			return c, h, err
		}
		fences = append(fences, remembered)
	}
	last, err := r.next()
	if err != nil {
		return c, h, err
	}
	if !bytes.Equal(last, fmt.Appendf(nil, "%08x", r.sum.Sum32())) {
		return c, h, errors.New("the checksum is wrong")
	}
	if r.lines.Scan() {
		return c, h, errors.New("there is more after the checksum")
	}
	c = registry.Content{Life: registry.Life(h.Life), Snapshot: registry.Snapshot{
		Revision: h.Revision, Instances: yieldAll(instances), Fences: yieldAll(fences),
	}}
	return c, h, nil
}
