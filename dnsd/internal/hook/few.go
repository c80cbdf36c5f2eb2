package hook

import (
	"sync"
	"time"
)

// A few lines in a window are written as they come; those beyond are counted, and
// the count is written when the window ends. So whatever strangers can cause fills
// no disk: at most 11 lines a minute, 5 MB a day.
const (
	fewLines  = 10
	fewWindow = time.Minute
)

// few bounds the lines of one kind.
type few struct {
	report func(more int, since time.Time) // told of those that were not written

	mu    sync.Mutex // guards what follows
	since time.Time
	n     int
	timer *time.Timer // runs while there is a window
}

// take says whether one more line may be written.
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
