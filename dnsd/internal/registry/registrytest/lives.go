package registrytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// lives runs a registry through many lives. A kill or a stop ends each of them, the
// clock jumps, and the store is replaced by an old copy or lost. A watcher that resumes
// and a secondary that goes by serials remember earlier lives; after each step they
// must still come to what is published. No revision may name two contents.
func (s Suite) lives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := &lives{
			suite: s, rt: rt,
			ceiling: filepath.Join(t.TempDir(), fmt.Sprint("ceiling", time.Now().UnixNano())),
			given:   map[uint32]string{}, wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}
		if s.FreshFile != nil {
			l.store, l.file = s.FreshFile(t)
		} else {
			l.store = s.Fresh(t)
		}
		rapid.SyncTest(rt, func(rt *rapid.T) {
			l.begin()
			defer func() { l.end() }()
			rt.Repeat(l.actions())
		})
	})
}

type lives struct {
	suite   Suite
	rt      *rapid.T
	store   Store
	file    string // of the store; "" if it is not in one file
	copy    []byte // of the file, taken earlier
	ceiling string
	wall    time.Time // of the host's clock

	r         *registry.Registry
	stop      func()
	given     map[uint32]string // what was published at each serial
	last      uint32            // the serial that was given out last
	watcher   map[registry.Key]uint16
	seen      *registry.Position
	secondary string // the content of the secondary
	serial    uint32 // of the secondary; 0: it has no content yet
}

func (l *lives) begin() {
	l.r, l.stop = l.suite.run(l.rt, l.store, registry.Config{Ceiling: l.ceiling, Revision: registry.ByClock(l.wall)})
	if first := uint32(l.r.Revision()); len(l.given) > 0 && int32(first-l.last) <= 0 {
		l.rt.Fatalf("a life begins at serial %d, %d was given out", first, l.last)
	}
	l.check(l.rt)
}

func (l *lives) end() { l.stop() }

// content returns what is published, as text and by key.
func (l *lives) content() (string, map[registry.Key]uint16) {
	now := map[registry.Key]uint16{}
	var lines []string
	_, views := l.r.Services()
	for v := range views {
		for _, in := range v.Instances {
			now[in.Key] = in.Weight
			lines = append(lines, fmt.Sprint(in.Key, in.Weight))
		}
	}
	return strings.Join(lines, "\n"), now
}

// check compares what is published with what was published at the same serial.
func (l *lives) check(rt *rapid.T) {
	serial := uint32(l.r.Revision())
	now, _ := l.content()
	if was, ok := l.given[serial]; ok && was != now {
		rt.Fatalf("serial %d was given out with\n%s\nand now with\n%s", serial, was, now)
	}
	l.given[serial], l.last = now, serial
}

func (l *lives) actions() map[string]func(*rapid.T) {
	acts := map[string]func(*rapid.T){
		"": l.check,
		"change": func(rt *rapid.T) {
			// A few changes, or more than the clock counts.
			for range rapid.SampledFrom([]int{1, 2, 5, 300}).Draw(rt, "changes") {
				l.change(rt)
			}
		},
		"watch":     l.resume,
		"secondary": l.transfer,
		"clock": func(rt *rapid.T) {
			l.wall = l.wall.Add(time.Duration(rapid.Int64Range(-1000, 1000).Draw(rt, "hours")) * time.Hour)
		},
		"restart": func(rt *rapid.T) {
			l.end()
			l.begin()
		},
	}
	if l.suite.Volatile {
		return acts // a store in memory has no other end than a kill
	}
	if l.file != "" {
		read := func() []byte {
			data, err := os.ReadFile(l.file)
			if err != nil {
				l.rt.Fatal(err)
			}
			return data
		}
		replace := func(data []byte) {
			if err := os.WriteFile(l.file, data, 0o600); err != nil {
				l.rt.Fatal(err)
			}
		}
		acts["copy"] = func(*rapid.T) { l.copy = read() } // between two commits
		acts["kill"] = func(*rapid.T) {
			image := read()
			l.end()
			replace(image)
			l.begin()
		}
		acts["restore"] = func(rt *rapid.T) {
			if l.copy == nil {
				rt.Skip("no copy")
			}
			l.end()
			replace(l.copy)
			l.begin()
		}
		acts["lose"] = func(rt *rapid.T) {
			l.end()
			if err := os.Remove(l.file); err != nil {
				rt.Fatal(err)
			}
			l.begin()
		}
	}
	return acts
}

func (l *lives) change(rt *rapid.T) {
	k := drawKey(rt)
	if rapid.IntRange(0, 2).Draw(rt, "remove") == 0 {
		if _, err := l.r.Deregister(context.Background(), k, nil); err != nil && !errors.Is(err, registry.ErrNotFound) {
			rt.Fatal(err)
		}
	} else {
		in := registry.Instance{Key: k, Host: "10.0.0.7", Port: 1, Weight: rapid.Uint16Range(1, 1000).Draw(rt, "weight")}
		if _, err := l.r.Register(context.Background(), in); err != nil {
			rt.Fatal(err)
		}
	}
	l.check(rt)
}

// resume is a watcher that resumes at the position that it saw last, reads everything
// again if it must, and reads all events.
func (l *lives) resume(rt *rapid.T) {
	w, err := l.r.Watch("", l.seen)
	if l.seen == nil || errors.Is(err, registry.ErrCompacted) {
		at := l.r.At(l.r.Revision())
		_, l.watcher = l.content()
		l.seen = &at
		if w, err = l.r.Watch("", l.seen); err != nil {
			rt.Fatal(err)
		}
	}
	if err != nil {
		rt.Fatal(err)
	}
	defer w.Close()
	for l.seen.Revision < l.r.Revision() {
		events, err := w.Next(context.Background())
		if err != nil {
			rt.Fatal(err)
		}
		for _, e := range events {
			if e.New == nil {
				delete(l.watcher, e.Key())
			} else {
				l.watcher[e.Key()] = e.New.Weight
			}
			at := e.Position()
			l.seen = &at
		}
	}
	if _, now := l.content(); !maps.Equal(now, l.watcher) {
		rt.Fatalf("the watcher knows %v, registered are %v", l.watcher, now)
	}
}

// transfer is a secondary that knows only its serial: it applies differences from the
// history that a sink is given, or takes the whole content.
func (l *lives) transfer(rt *rapid.T) {
	m := &Mirror{TB: rt}
	l.r.Attach(m)()
	now, _ := l.content()
	serial := uint32(m.Revision())
	if serial == l.serial && now != l.secondary {
		rt.Fatalf("at serial %d the secondary holds\n%s\nthe primary\n%s", serial, l.secondary, now)
	}
	if at := slices.IndexFunc(m.History(), func(c registry.Change) bool { return uint32(c.Revision) == l.serial+1 }); l.serial != 0 && at >= 0 {
		// The difference is from what was published at the serial.
		have := map[string]string{}
		for line := range strings.Lines(l.secondary) {
			line = strings.TrimSpace(line)
			id, _, _ := strings.Cut(line, " ")
			have[id] = line
		}
		for _, c := range m.History()[at:] {
			id := fmt.Sprint(c.Key())
			if c.New == nil {
				delete(have, id)
			} else {
				have[id] = fmt.Sprint(c.Key(), c.New.Weight)
			}
		}
		if got := strings.Join(slices.Sorted(maps.Values(have)), "\n"); got != sortedLines(now) {
			rt.Fatalf("by differences from serial %d to %d the secondary has\n%s\nthe primary\n%s", l.serial, serial, got, now)
		}
	}
	l.serial, l.secondary = serial, now
}

func sortedLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Tests: suite_test.go.
