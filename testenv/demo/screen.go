package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// A screen is where the demo shows itself.
type screen interface {
	// event tells of a kill or a return.
	event(text string)
	// frame shows the state of things, a few times a second. dnsds is about several dnsd,
	// or empty.
	frame(rows []row, dnsds string, totals totals)
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

// show draws frames until ctx ends. all is nil if there is one dnsd.
func show(ctx context.Context, s screen, c *caller, all *several) {
	defer s.end()
	var dnsds atomic.Value // of string; a dnsd that was killed costs whoever asks for it time
	dnsds.Store("")
	var asking sync.WaitGroup
	defer asking.Wait()
	if all != nil {
		asking.Go(func() {
			for pause(ctx, s.every()) {
				dnsds.Store(all.line(ctx))
			}
		})
	}
	for pause(ctx, s.every()) {
		s.frame(c.rows(), dnsds.Load().(string), c.totals())
	}
}

// line describes all dnsd: "dnsd a writer at 120, b follower at 120, c dead".
func (s *several) line(ctx context.Context) string {
	c, err := s.cluster(ctx)
	if err != nil {
		return "dnsd: " + err.Error()
	}
	alive := map[string]bool{}
	for _, d := range s.alive() {
		alive[d.name] = true
	}
	known := map[string]string{}
	for _, m := range c.Members {
		switch {
		case m.Revision == 0:
			known[m.Name] = string(m.Role)
		default:
			known[m.Name] = fmt.Sprintf("%s at %d", m.Role, m.Revision)
		}
	}
	var parts []string
	for _, d := range s.all {
		what := known[d.name]
		switch {
		case !alive[d.name]:
			what = "dead"
		case what == "":
			what = "starts"
		}
		parts = append(parts, d.name+" "+what)
	}
	return "dnsd " + strings.Join(parts, ", ")
}

// hint says how to look inside while it runs.
func hint(where *site, o options) string {
	dns, hook := netip.MustParseAddrPort(where.dns[0]), where.hooks[0]
	kills := fmt.Sprintf("every %v a server is killed with SIGKILL", o.killEvery)
	switch {
	case o.killEvery == 0:
		kills = "no server is killed"
	case where.several != nil:
		kills += fmt.Sprintf(", and every %v the dnsd that writes", 2*o.killEvery)
	}
	return fmt.Sprintf(`Rollcall: %d math servers register themselves; a client calls _math._tcp.svc %d times a second
for %v by policy %s; %s. Look inside meanwhile:
  %s/ is the console, for a browser
  dig @%v -p %d _math._tcp.svc SRV
  dig @%v -p %d +short a1.math.tcp.svc A
  curl -s %s/v1/services/_math._tcp
  curl -sN %s/v1/watch
  curl -s %s/v1/cluster
`, o.servers, o.rate, o.duration, o.policy, kills, hook, dns.Addr(), dns.Port(), dns.Addr(), dns.Port(), hook, hook, hook)
}

// quiet shows nothing.
type quiet struct{}

func (quiet) event(string)                {}
func (quiet) frame([]row, string, totals) {}
func (quiet) every() time.Duration        { return time.Second }
func (quiet) end()                        {}

// lines is the screen of a pipe or a log: events, and a line a second.
type lines struct {
	mu    sync.Mutex // guards w
	w     io.Writer
	began time.Time
}

func newLines(w io.Writer, where *site, o options) *lines {
	fmt.Fprintln(w, hint(where, o))
	return &lines{w: w, began: time.Now()}
}

func (l *lines) event(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%6.2fs %s\n", time.Since(l.began).Seconds(), text)
}

func (l *lines) frame(rows []row, dnsds string, t totals) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "  %s %.0f%%%s", r.id, 100*r.share, mark(r.state))
	}
	if dnsds != "" {
		b.WriteString("; " + dnsds)
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

func newTable(w io.Writer, where *site, o options) *table {
	fmt.Fprintln(w, hint(where, o))
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

func (t *table) frame(rows []row, dnsds string, sum totals) {
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
	line("", "%s", dnsds)
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
