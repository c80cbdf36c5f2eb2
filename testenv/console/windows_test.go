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

// A window gives its stream way when the others answer too late, and takes it back when they are
// closed.
func TestALateAnswerIsHeard(t *testing.T) {
	s := serve(t)
	b := open(t, s.url)
	others := b.another()
	others.run(chromedp.Navigate(b.url + "/console/icon.svg"))
	// This window answers as three others do, at first not.
	value[bool](others, `(() => {
		const channel = new BroadcastChannel("rollcall-streams");
		window.answer = to => { for (const from of [1, 2, 3]) channel.postMessage({ to, from }) };
		channel.onmessage = ({ data }) => {
			if (window.late) answer(data.asks);
			else window.asked = data.asks;
		};
		return true;
	})()`)
	b.visit("#/")
	b.sees("#live.on", "live")
	value[bool](others, `(window.late = true, answer(window.asked), true)`)
	again := `!document.dispatchEvent(new Event("visibilitychange"))`
	b.await(`document.querySelector("#live.on").innerText.includes("other windows are open") || ` + again)
	others.end()
	b.await(`document.querySelector("#live.on").innerText === "live" || ` + again)
	b.clean()
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
