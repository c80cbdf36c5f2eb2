package register

import (
	"errors"
	"log"
	"net/http"
	"strings"
	"time"
)

const (
	// The first line is at once; the others come less and less often.
	minNoticeGap = time.Minute
	maxNoticeGap = time.Hour
)

// notice writes to the standard logger if the caller gave none: a server that no
// client can find must not be silent about it. Owned by the lease's goroutine.
type notice struct {
	quiet bool   // the caller gave a Logger
	about string // "_math._tcp/a1"
	next  time.Time
	gap   time.Duration // the pause before the line after the next
}

// say writes one line.
func (n *notice) say(format string, args ...any) {
	if !n.quiet {
		log.Printf("register: "+n.about+" "+format, args...)
	}
}

// cause is the text of an error, without the part that the line already has, and
// with what to check.
func (n *notice) cause(err error) string {
	text := strings.TrimPrefix(err.Error(), "register: "+n.about+": ")
	if _, answered := asType[*answer](err); errors.Is(err, http.ErrSchemeMismatch) {
		text += " (write http:// in place of https://)"
	} else if !answered {
		text += " (is dnsd running there? Config.Hooks or " + hookVar + " say where)"
	}
	return text
}

// trouble writes a line if the pause since the last one is over, and reports whether it is.
// A Logger gets a warning then.
func (n *notice) trouble(now time.Time, format string, args ...any) bool {
	if now.Before(n.next) {
		return false
	}
	n.gap = min(max(2*n.gap, minNoticeGap), maxNoticeGap)
	n.next = now.Add(n.gap)
	n.say(format, args...)
	return true
}

// over ends the trouble and reports whether there was any.
func (n *notice) over() bool {
	was := n.gap > 0
	n.next, n.gap = time.Time{}, 0
	return was
}
