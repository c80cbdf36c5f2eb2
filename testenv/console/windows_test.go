package console

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// takesItsTurn ends the pause of a window between two turns: it looks as if it was shown again.
func (b *browser) takesItsTurn() {
	b.t.Helper()
	value[bool](b, `document.dispatchEvent(new Event("visibilitychange"))`)
}

// Seven windows of one browser are all told of a change, though the browser has six connections to
// a server: some keep their stream, and the others take turns.
func TestSevenWindowsShareTheConnections(t *testing.T) {
	s := serve(t)
	b := open(t, s.url)
	s.put("_math._tcp", "a0", `{"port":9001,"lease":"10m"}`)
	windows := []*browser{b}
	for len(windows) < 7 {
		windows = append(windows, b.another())
	}
	for i, w := range windows {
		w.run(chromedp.Navigate(w.url))
		w.sees("section[aria-label=Services] tr", "1 of 1")
		if i == 0 {
			w.sees("#live", "live")
		}
	}
	last := windows[6]
	last.sees("#live.on", "other windows are open")
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	for _, w := range windows {
		w.takesItsTurn()
		w.sees("section[aria-label=Services] tr", "2 of 2")
		w.clean()
	}
	// When windows are closed, others keep their stream.
	for _, w := range windows[1:6] {
		w.end()
	}
	last.await(`document.querySelector("#live.on").innerText === "live" || !document.dispatchEvent(new Event("visibilitychange"))`)
}
