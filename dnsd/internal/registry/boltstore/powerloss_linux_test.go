package boltstore_test

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
)

// powerEnv is how long TestPowerFailsAfterAnyCall runs for each mode, like "10m", with
// seeds of its own instead of a few that are fixed. With powerSeedEnv it runs one seed,
// once or for that time: bbolt takes free pages in the order of a map, so a seed may have
// to be repeated. Beyond ten minutes, go test wants a -timeout.
const (
	powerEnv     = "ROLLCALL_POWER"
	powerSeedEnv = "ROLLCALL_POWER_SEED"
)

// powerSeeds are the fixed seeds of each mode. Each makes up to four lives. With the third
// the sync of a new length fails, and with the last a part of the name of the format is on
// the disk.
var powerSeeds = []uint64{1, 3, 4, 151875435}

// What may happen in a life, apart from the loss of power.
const (
	powerPlain = "plain"
	powerPages = "other page sizes"
	powerFault = "a call fails"
	powerKill  = "killed at a call"
)

// TestPowerFailsAfterAnyCall records the writes, lengths and syncs of a process that
// commits. Then power fails after any of them, with any version of each sector and of the
// length that was not synced. The store holds what the last acknowledged commit left, or
// the commit in flight, and goes on. One life follows another: on the same machine, and
// after a loss of power.
func TestPowerFailsAfterAnyCall(t *testing.T) {
	if job := os.Getenv(powerChildEnv); job != "" {
		powerChild(job)
		return
	}
	strace := needStrace(t)
	for _, mode := range []string{powerPlain, powerPages, powerFault, powerKill} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := &power{T: t, strace: strace, mode: mode, dir: tempDir(t)}
			for seed := range powerSeedsOf(t) {
				p.trial(seed)
			}
			if p.kept == 0 || p.dropped == 0 {
				t.Errorf("%d commits kept, %d dropped: not both were tested", p.kept, p.dropped)
			}
			if p.struck == 0 && (mode == powerFault || mode == powerKill) {
				t.Error("no call failed: nothing was tested")
			}
			t.Logf("%d lives, %d with a call that failed; %d losses of power, %d dropped a commit", p.lives, p.struck, p.kept+p.dropped, p.dropped)
		})
	}
}

// powerSeedsOf returns the seeds to try.
func powerSeedsOf(t *testing.T) iter.Seq[uint64] {
	length, err := time.ParseDuration(cmp.Or(os.Getenv(powerEnv), "0s"))
	if err != nil {
		t.Fatalf("%s: %v: want a time like 10m", powerEnv, err)
	}
	text := os.Getenv(powerSeedEnv)
	seed, err := strconv.ParseUint(cmp.Or(text, "0"), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v: want the number that a failure printed", powerSeedEnv, err)
	}
	end := time.Now().Add(length)
	return func(yield func(uint64) bool) {
		switch {
		case text != "":
			for yield(seed) && time.Now().Before(end) {
			}
		case length > 0:
			for yield(rand.Uint64N(1e9)) && time.Now().Before(end) {
			}
		default:
			for _, seed := range powerSeeds {
				if !yield(seed) {
					return
				}
			}
		}
	}
}

// power is the test of one mode.
type power struct {
	*testing.T
	strace, mode, dir string
	seed              uint64
	rnd               *rand.Rand
	life              string // which one it is, for a failure
	inject            string
	lives, struck     int
	kept, dropped     int // losses of power, by what Open said
	image             []byte
	imageHas          *content
}

// trial makes the lives of one seed.
func (p *power) trial(seed uint64) {
	p.seed, p.rnd, p.life = seed, rand.New(rand.NewPCG(seed, 5)), "the file"
	path := filepath.Join(p.dir, "svc.db")
	has := p.begin(path)
	end := []string{"close", "exit"}[p.rnd.IntN(2)]
	d, o := newDisk(bytesOf(p, path)), &oracle{has: has, found: has}
	p.live("first life, "+end, path, d, o, 3+p.rnd.IntN(5), end)
	image, imageHas := p.image, p.imageHas

	p.life += ", and what it left"
	write(p, filepath.Join(p.dir, "left.db"), bytesOf(p, path))
	s, found := p.opened(filepath.Join(p.dir, "left.db"), bytesOf(p, path), o)
	s.Close()
	p.live("another on the same machine", path, d, &oracle{has: o.has, asks: o.asks, found: found}, 3, "exit")

	for _, life := range []string{"another after a loss of power", "a third one after two"} {
		if image == nil { // the child did nothing to its file
			return
		}
		write(p, path, image)
		p.live(life, path, newDisk(image), &oracle{has: imageHas, found: imageHas}, 3, end)
		image, imageHas = p.image, p.imageHas
	}
}

// begin makes the file of the first life, and returns what it holds.
func (p *power) begin(path string) *content {
	os.Remove(path)
	opened(p, path).Close()
	if p.mode == powerPages {
		p.repaged(path, []int{1024, 2048, 8192, 16384, 65536}[p.rnd.IntN(5)])
	}
	s := opened(p, path)
	has, source := emptyContent(), commitsOf(p.rnd.Uint64(), p.rnd.IntN(habits))
	for range p.rnd.IntN(6) {
		if err := s.Commit(source.next(has)); err != nil {
			p.fail("commit: %v", err)
		}
	}
	data := bytesOf(p, path)
	s.Close()
	switch p.rnd.IntN(3) {
	case 0: // as a killed process left it
		write(p, path, data)
	case 1: // as an older release left it
		if p.mode == powerPages {
			break
		}
		unsealed(p, path)
		edit(p, path, func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("rollcall")).Put([]byte("format"), []byte("rollcall registry 2"))
		})
	}
	return has
}

// repaged gives the file pages of another size, as on another machine.
func (p *power) repaged(path string, size int) {
	p.Helper()
	old := path + ".old"
	if err := os.Rename(path, old); err != nil {
		p.Fatal(err)
	}
	from, err := bolt.Open(old, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		p.Fatal(err)
	}
	to, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: size})
	if err != nil {
		p.Fatal(err)
	}
	if err := errors.Join(bolt.Compact(to, from, 0), to.Close(), from.Close()); err != nil {
		p.Fatal(err)
	}
}

// rule returns a rule for strace about a call that fails, or at which the process is
// killed.
func (p *power) rule() string {
	c := []struct {
		name string
		most int // about as many as a process makes
	}{{"fdatasync", 10}, {"pwrite64", 25}, {"fsync", 3}, {"fsync", 3}, {"ftruncate", 2}}[p.rnd.IntN(5)]
	when := 1 + p.rnd.IntN(c.most)
	switch p.mode {
	case powerFault:
		fault := []string{"EIO", "ENOSPC"}[p.rnd.IntN(2)]
		then := []string{"", "", "+2"}[p.rnd.IntN(3)] // each second call from then on
		return fmt.Sprintf("inject=%s:error=%s:when=%d%s", c.name, fault, when, then)
	case powerKill:
		return fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", c.name, when)
	}
	return ""
}

// live runs a child on the file at path, and lets power fail after each of its calls. d
// and o are then as after its last. It keeps one of the files after a loss of power.
func (p *power) live(life, path string, d *disk, o *oracle, count int, end string) {
	p.life, p.image = life, nil
	seed, habit := p.rnd.Uint64(), p.rnd.IntN(habits)
	if p.inject = p.rule(); strings.Contains(p.inject, "fsync") || strings.Contains(p.inject, "ftruncate") {
		habit = habitGrow // bbolt makes these calls when the file grows
	}
	o.from = commitsOf(seed, habit)
	env := fmt.Sprintf("%s=%d %d %d %s %s", powerChildEnv, seed, habit, count, end, path)
	events, struck := recorded(p.T, p.strace, "TestPowerFailsAfterAnyCall", env, path, p.inject)
	p.lives++
	if struck {
		p.struck++
	}
	if len(events) == 0 && !struck {
		p.fail("the child did nothing")
	}
	keep := p.rnd.IntN(max(1, len(events)))
	for i, e := range events {
		p.life = fmt.Sprintf("%s, after%s", life, story(events[:i+1]))
		tries := 0
		if e.kind != didSay {
			d.apply(e, p.rnd)
			tries = []int{1, 1, 1, 5}[p.rnd.IntN(4)]
		} else if o.hear(e.said); strings.HasPrefix(e.said, "refused") {
			if p.inject == "" {
				p.fail("refused")
			}
			return
		}
		if i == keep {
			tries++
		}
		for range tries {
			image := d.fail(p.rnd, []int64{sectorSize, pageSize}[p.rnd.IntN(2)])
			has := p.lose(image, o)
			if i == keep {
				p.image, p.imageHas = image, has
			}
		}
	}
}

// lose starts the machine again on a file, and returns what the file holds.
func (p *power) lose(image []byte, o *oracle) *content {
	path := filepath.Join(p.dir, "lost.db")
	write(p, path, image)
	s, has := p.opened(path, image, o)
	if s.Dropped() != 0 {
		p.dropped++
	} else {
		p.kept++
	}
	if err := errors.Join(s.Commit(has.clone().batch(p.rnd, putOne)), s.Close()); err != nil {
		p.keepImage(image)
		p.fail("the store does not go on: %v", err)
	}
	if p.rnd.IntN(5) == 0 {
		checked(p, path)
	}
	return has
}

// opened opens the file at path, which is as image, and checks what it holds.
func (p *power) opened(path string, image []byte, o *oracle) (*boltstore.Store, *content) {
	s, err := boltstore.Open(path)
	var has *content
	if err == nil {
		has, err = contentOf(s)
	}
	if err != nil {
		p.keepImage(image)
		p.fail("refused: %v", err)
	}
	if !o.allows(has) {
		p.keepImage(image)
		p.fail("has revision %d, dropped %d, want what was acknowledged at revision %d or is in flight (%t)", has.revision, s.Dropped(), o.has.revision, o.asks != nil)
	}
	return s, has
}

// keepImage keeps a file that is the cause of a failure.
func (p *power) keepImage(image []byte) {
	f, err := os.CreateTemp("", "rollcall-power-*.db")
	if err != nil {
		p.Log(err)
		return
	}
	_, err = f.Write(image)
	p.Logf("the file is kept as %s: %v", f.Name(), errors.Join(err, f.Close()))
}

func (p *power) fail(format string, args ...any) {
	p.Helper()
	p.Fatalf("%s=%d, %s, %s: %s", powerSeedEnv, p.seed, p.inject, p.life, fmt.Sprintf(format, args...))
}
