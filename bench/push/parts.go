//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// parts of the time of a change, in their order. Each begins at the end of the one before.
var parts = [...]string{
	"request", // until it is written. With etcd this is within "way"
	"store",   // by the metrics of the server: a commit with its sync, or the syncs of etcd's log
	"way",     // the rest, until the Source yields to the client
	"plan",    // until the client dials
	"dial",
	"calls", // until the end of the first call, or of the last one that ignores the change
}

// split has the time of each part of a change.
type split [len(parts)]time.Duration

func (s *split) total() (sum time.Duration) {
	for _, d := range s {
		sum += d
	}
	return sum
}

// marks are the times of one change.
type marks struct {
	mu                                   sync.Mutex // guards what follows
	began, sent, told, dialling, dialled time.Time
}

// begin begins a change.
func (m *marks) begin(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.began = now
	m.sent, m.told, m.dialling, m.dialled = time.Time{}, time.Time{}, time.Time{}, time.Time{}
}

// mark notes the first time of an event of a change.
func (m *marks) mark(at *time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at.IsZero() {
		*at = time.Now()
	}
}

// split divides the time from the beginning of the change to end. What did not happen took
// no time.
func (m *marks) split(end time.Time, store time.Duration) (s split) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.began
	for i, at := range []time.Time{m.sent, {}, m.told, m.dialling, m.dialled, end} {
		if i == 1 {
			if at = last.Add(store); at.After(m.told) {
				at = m.told
			}
		}
		if at.After(end) {
			at = end
		}
		if at.After(last) {
			s[i] = at.Sub(last)
			last = at
		}
	}
	return s
}

// marked is a Source that notes when it yields.
type marked struct {
	source resolver.Source
	m      *marks
}

func (s marked) Watch(ctx context.Context, name string) iter.Seq[resolver.State] {
	return func(yield func(resolver.State) bool) {
		for state := range s.source.Watch(ctx, name) {
			s.m.mark(&s.m.told)
			if !yield(state) {
				return
			}
		}
	}
}

// Refresh makes the source look again, if it can.
func (s marked) Refresh(name string) {
	if r, ok := s.source.(interface{ Refresh(name string) }); ok {
		r.Refresh(name)
	}
}

// dial is a Config.Conn.Dial that notes its times.
func (m *marks) dial(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	m.mark(&m.dialling)
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", ep.Addr)
	m.mark(&m.dialled)
	return nc, err
}

// metric reads a number of seconds from a page of metrics.
func metric(url, name string) (time.Duration, error) {
	resp, err := hooks.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	for line := range bytes.Lines(page) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			f, err := strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
			return time.Duration(f * float64(time.Second)), err
		}
	}
	return 0, fmt.Errorf("%s has no %s: %w", url, name, err)
}

// printParts prints the mean of each part of the usual changes and of the slowest, and how
// many of the slowest a part took most of.
func printParts(sides []*side) {
	const slow = 50 // the slowest one in so many
	fmt.Printf("\nms of each part: the middle half of the changes, the slowest %d %%, and how many of the slowest took most of their time for it\n\n", 100/slow)
	fmt.Printf("%-16s %-12s %-8s", "", "", "")
	for _, p := range parts {
		fmt.Printf(" %9s", p)
	}
	fmt.Println()
	for _, kind := range measured {
		for _, s := range sides {
			all := slices.SortedFunc(slices.Values(s.splits[kind]), func(a, b split) int { return int(a.total() - b.total()) })
			n := len(all)
			if n < slow {
				continue
			}
			row := func(what string, value func(part int) string) {
				fmt.Printf("%-16s %-12s %-8s", kind, s.name, what)
				for i := range parts {
					fmt.Printf(" %9s", value(i))
				}
				fmt.Println()
			}
			mean := func(of []split) func(int) string {
				return func(part int) string {
					var sum time.Duration
					for _, s := range of {
						sum += s[part]
					}
					return ms(sum / time.Duration(len(of)))
				}
			}
			slowest := all[n-n/slow:]
			row("middle", mean(all[n/4:n-n/4]))
			row("slowest", mean(slowest))
			row("most of", func(part int) string {
				most := 0
				for _, s := range slowest {
					if slices.Max(s[:]) == s[part] {
						most++
					}
				}
				return strconv.Itoa(most)
			})
		}
	}
}
