package hook

import (
	"sync"
	"time"
)

// The first lines of a window are written at once. Further ones are counted, and the
// count is written when the window ends. So what strangers can cause does not fill a
// disk: at most 11 lines a minute, 5 MB a day.
const (
	fewLines  = 10
	fewWindow = time.Minute
)

// few bounds the log lines of one kind.
type few struct {
	report func(more int, since time.Time) // called with the number of lines that were not written

	mu    sync.Mutex // guards what follows
	since time.Time
	n     int
	timer *time.Timer // the end of the window; nil: there is no window
}

// take says whether a line may be written now.
func (f *few) take() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer == nil {
		f.since, f.n = time.Now(), 0
		f.timer = time.AfterFunc(fewWindow, f.flush)
	}
	f.n++
	return f.n <= fewLines
}

// flush ends the window.
func (f *few) flush() {
	f.mu.Lock()
	if f.timer == nil {
		f.mu.Unlock()
		return
	}
	f.timer.Stop()
	f.timer = nil
	more, since := f.n-fewLines, f.since
	f.mu.Unlock()
	if more > 0 {
		f.report(more, since)
	}
}
