package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// A screen is where the demo shows itself.
type screen interface {
	// event tells of a kill or a return.
	event(text string)
	// frame shows the state of things, a few times a second.
	frame(rows []row, totals totals)
	// every is the time between frames.
	every() time.Duration
	// end leaves the screen in order.
	end()
}

// A row is one server.
type row struct {
	id, addr         string
	priority, weight int
	share            float64 // of the calls since the last frame
	inFlight         int
	latency          time.Duration
	state            string
	ttl              time.Duration // left of its record, as the client has it
}

type totals struct {
	elapsed                time.Duration
	calls, failed, retried int64
	rate                   float64
}

// show draws frames until ctx ends.
func show(ctx context.Context, s screen, c *caller, f *fleet) {
	defer s.end()
	for pause(ctx, s.every()) {
		s.frame(c.rows(), c.totals())
	}
}

// hint says how to look inside while it runs.
func hint(server *dnsd.Server, o options) string {
	dns, hook := server.DNSAddr(), server.HookURL()
	kills := fmt.Sprintf("every %v a server is killed with SIGKILL", o.killEvery)
	if o.killEvery == 0 {
		kills = "no server is killed"
	}
	return fmt.Sprintf(`Rollcall: %d math servers register themselves; a client calls _math._tcp.svc %d times a second
for %v by policy %s; %s. Look inside meanwhile:
  %s/ is the console, for a browser
  dig @%s -p %d _math._tcp.svc SRV
  dig @%s -p %d +short a1.math.tcp.svc A
  curl -s %s/v1/services/_math._tcp
  curl -sN %s/v1/watch
`, o.servers, o.rate, o.duration, o.policy, kills, hook, host(dns), dns.Port(), host(dns), dns.Port(), hook, hook)
}

func host(a netip.AddrPort) string { return a.Addr().String() }

// quiet shows nothing.
type quiet struct{}

func (quiet) event(string)         {}
func (quiet) frame([]row, totals)  {}
func (quiet) every() time.Duration { return time.Second }
func (quiet) end()                 {}

// lines is the screen of a pipe or a log: events, and a line a second.
type lines struct {
	mu    sync.Mutex // guards w
	w     io.Writer
	began time.Time
}

func newLines(w io.Writer, server *dnsd.Server, o options) *lines {
	fmt.Fprintln(w, hint(server, o))
	return &lines{w: w, began: time.Now()}
}

func (l *lines) event(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%6.2fs %s\n", time.Since(l.began).Seconds(), text)
}

func (l *lines) frame(rows []row, t totals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "  %s %.0f%%%s", r.id, 100*r.share, mark(r.state))
	}
	fmt.Fprintf(l.w, "%6.2fs %d calls, %d failed, %d retried;%s\n", t.elapsed.Seconds(), t.calls, t.failed, t.retried, b.String())
}

func mark(state string) string {
	if state == "up" {
		return ""
	}
	return " (" + state + ")"
}

func (l *lines) every() time.Duration { return time.Second }

func (l *lines) end() {}

// table is the screen of a terminal, drawn over itself.
type table struct {
	mu     sync.Mutex // guards the fields below
	w      io.Writer
	events []string // the last few
	height int      // lines of the last frame
	began  time.Time
}

func newTable(w io.Writer, server *dnsd.Server, o options) *table {
	fmt.Fprintln(w, hint(server, o))
	fmt.Fprint(w, "\x1b[?25l") // no cursor
	return &table{w: w, began: time.Now()}
}

func (t *table) event(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, fmt.Sprintf("%6.2fs %s", time.Since(t.began).Seconds(), text))
	if n := len(t.events); n > 4 {
		t.events = t.events[n-4:]
	}
}

// The table's columns, but for the bar, need this width.
const (
	columns  = "%-4s %-15s %9s %6s  %-*s %9s %9s %5s  %s"
	fixed    = 80
	widest   = 20 // of the bar
	below    = 6  // lines under the rows
	defaultW = 80
	defaultH = 24
)

func (t *table) frame(rows []row, sum totals) {
	t.mu.Lock()
	defer t.mu.Unlock()
	width, height := t.size()
	bar := max(0, min(widest, width-fixed))
	var b strings.Builder
	if t.height > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", t.height)
	}
	t.height = 0
	line := func(color, format string, args ...any) {
		text := []rune(fmt.Sprintf(format, args...))
		text = text[:min(len(text), width-1)] // a line that wraps would count as two
		fmt.Fprintf(&b, "%s%s\x1b[0m\x1b[K\n", color, string(text))
		t.height++
	}
	const bold, red, green, yellow = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"
	line(bold, columns, "id", "address", "prio/wt", "share", bar, "", "in flight", "latency", "ttl", "state")
	shown := min(len(rows), max(1, height-below-2))
	for _, r := range rows[:shown] {
		color := map[string]string{"up": green, "dead": red}[r.state]
		if color == "" {
			color = yellow
		}
		line(color, columns, r.id, r.addr, fmt.Sprintf("%d/%d", r.priority, r.weight), fmt.Sprintf("%.1f%%", 100*r.share),
			bar, strings.Repeat("#", min(bar, int(float64(bar)*r.share+0.5))),
			fmt.Sprint(r.inFlight), r.latency.Round(time.Microsecond).String(), r.ttl.Round(100*time.Millisecond).String(), r.state)
	}
	more := ""
	if shown < len(rows) {
		more = fmt.Sprintf("and %d more; ", len(rows)-shown)
	}
	line("", "")
	line(bold, "%s%.1fs: %d calls (%.0f/s), %d failed, %d retried", more, sum.elapsed.Seconds(), sum.calls, sum.rate, sum.failed, sum.retried)
	for i := range 4 {
		if i < len(t.events) {
			line("", "%s", t.events[i])
		} else {
			line("", "")
		}
	}
	io.WriteString(t.w, b.String())
}

// size is the terminal's size of the moment.
func (t *table) size() (width, height int) {
	if f, ok := t.w.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return defaultW, defaultH
}

func (t *table) every() time.Duration { return 250 * time.Millisecond }

func (t *table) end() {
	io.WriteString(t.w, "\x1b[?25h")
}
