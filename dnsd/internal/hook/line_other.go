//go:build !linux

package hook

import (
	"net/http"
	"time"
)

// line is the TCP connection beneath a request. Here nothing more is known of
// it than that it is open.
type line struct{}

func lineOf(*http.Request) line          { return line{} }
func (line) giveUpAfter(time.Duration)   {}
func (line) unacknowledged() (bytes int) { return 0 }
