package register

import (
	"errors"
	"log"
	"net/http"
	"strings"
	"time"
)

const (
	// An operator reads the first line; the others are for who comes later.
	minNoticeGap = time.Minute
	maxNoticeGap = time.Hour
)

// notice speaks on the standard logger for those who gave no other: a server that
// nobody can find must not be silent about it. Owned by the lease's goroutine.
type notice struct {
	quiet bool   // there is a Logger
	about string // "_math._tcp/a1"
	next  time.Time
	gap   time.Duration // to the line after the next
}

// say writes one line in any case.
func (n *notice) say(format string, args ...any) {
	if !n.quiet {
		log.Printf("register: "+n.about+" "+format, args...)
	}
}

// cause is the text of an error without what the line says anyhow, and with what
// to look at.
func (n *notice) cause(err error) string {
	text := strings.TrimPrefix(err.Error(), "register: "+n.about+": ")
	if _, answered := asType[*answer](err); errors.Is(err, http.ErrSchemeMismatch) {
		text += " (write http:// in place of https://)"
	} else if !answered {
		text += " (is dnsd running there? Config.Hooks or " + hookVar + " say where)"
	}
	return text
}

// trouble writes one line now and then.
func (n *notice) trouble(now time.Time, format string, args ...any) {
	if now.Before(n.next) {
		return
	}
	n.gap = min(max(2*n.gap, minNoticeGap), maxNoticeGap)
	n.next = now.Add(n.gap)
	n.say(format, args...)
}

// over ends the trouble. It says whether there was any.
func (n *notice) over() bool {
	was := n.gap > 0
	n.next, n.gap = time.Time{}, 0
	return was
}
