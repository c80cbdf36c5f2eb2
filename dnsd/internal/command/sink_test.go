package command

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// reader reads a log, but not before let is closed.
type reader struct {
	let chan struct{}
	mu  sync.Mutex
	got bytes.Buffer
}

func (r *reader) Write(p []byte) (int, error) {
	<-r.let
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(p)
}

func (r *reader) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}

func TestLogNeverWaitsForItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{let: make(chan struct{})}
		var s *sink
		s = newSink(r, 100, func(lost uint64) { fmt.Fprintf(s, "lost %d\n", lost) })
		const lines = 1000
		for i := range lines {
			fmt.Fprintf(s, "line %d\n", i) // would block for ever if it waited
			synctest.Wait()
		}
		if d := s.Dropped(); d < lines-30 || d >= lines {
			t.Errorf("%d of %d lines dropped, with room for some ten", d, lines)
		}
		dropped := s.Dropped()
		close(r.let) // the reader is back
		synctest.Wait()
		fmt.Fprintln(s, "after")
		s.Close(time.Second)
		got := r.text()
		if want := fmt.Sprintf("lost %d\n", dropped); !strings.HasPrefix(got, "line 0\n") || !strings.Contains(got, want) || !strings.HasSuffix(got, "after\n") {
			t.Errorf("got %q, want the first lines, %q and the last line", got, want)
		}
	})
}

func TestLogCloseDoesNotWaitForAReaderWhoIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{let: make(chan struct{})}
		s := newSink(r, 100, nil)
		fmt.Fprintln(s, "line")
		begun := time.Now()
		s.Close(time.Second)
		if took := time.Since(begun); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		fmt.Fprintln(s, "too late")
		close(r.let)
		synctest.Wait()
		if got := r.text(); got != "line\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestLogKeepsWholeLinesInOrder(t *testing.T) {
	var out bytes.Buffer
	s := newSink(&out, 1<<20, nil)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 500 {
				fmt.Fprintf(s, "%d %d\n", w, i)
			}
		})
	}
	wg.Wait()
	s.Close(time.Minute)
	next := map[int]int{}
	for line := range strings.Lines(out.String()) {
		var w, i int
		if _, err := fmt.Sscanf(line, "%d %d\n", &w, &i); err != nil || next[w] != i {
			t.Fatalf("line %q, want number %d of its writer", line, next[w])
		}
		next[w]++
	}
	if len(next) != 8 || s.Dropped() != 0 {
		t.Errorf("lines of %d writers, %d dropped", len(next), s.Dropped())
	}
}

// disk takes room octets, then says that it is full.
type disk struct {
	room int
	got  bytes.Buffer
}

func (d *disk) Write(p []byte) (int, error) {
	if len(p) <= d.room {
		d.room -= len(p)
		return d.got.Write(p)
	}
	n, _ := d.got.Write(p[:d.room])
	d.room = 0
	return n, syscall.ENOSPC
}

func TestLogCountsWhatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: 25}
		var s *sink
		s = newSink(d, 1000, func(lost uint64) { fmt.Fprintf(s, "lost %d\n", lost) })
		for i := range 10 {
			fmt.Fprintf(s, "line %d\n", i) // 7 octets
			synctest.Wait()
		}
		if n := s.Dropped(); n != 7 {
			t.Errorf("%d lines dropped, want 7", n)
		}
		d.room = 1000
		fmt.Fprintln(s, "after")
		synctest.Wait()
		s.Close(time.Second)
		if got, want := d.got.String(), "line 0\nline 1\nline 2\nline\nafter\nlost 7\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
