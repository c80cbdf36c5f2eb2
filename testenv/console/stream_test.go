package console

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// A stream that says nothing, and does not end, is followed by another one, which tells what
// was missed.
func TestASilentStreamIsFollowedByAnother(t *testing.T) {
	s := serve(t)
	g := s.gated(t)
	b := open(t, g.url)
	b.before(timers)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	b.visit("#/")
	b.sees("section[aria-label=Services] tr", "1 of 1")
	swallowed := g.silence()
	s.put("_math._tcp", "a2", `{"port":9002,"lease":"10m"}`)
	<-swallowed
	if row := value[string](b, `document.querySelector("section[aria-label=Services] tbody tr").innerText`); !strings.Contains(row, "1 of 1") {
		t.Fatalf("the stream is not silent: %q", row)
	}
	// The page gives up the stream after a time without a word.
	value[bool](b, `(window.told = [], new MutationObserver(() => told.push(document.querySelector("#live").innerText)).observe(document.querySelector("#live"), {childList: true, subtree: true}), true)`)
	if !value[bool](b, `hurry(40000)`) {
		t.Fatal("nothing bounds the silence of a stream")
	}
	b.sees("section[aria-label=Services] tr", "2 of 2")
	b.sees("#live.on", "live")
	if told := value[[]string](b, `told`); len(told) == 0 || told[0] == "live" {
		t.Errorf("the page tells %q of its stream, which was silent", told)
	}
	b.clean()
}

// A request that is under way when the token changes neither shows what the earlier token may
// read, nor asks for a token again; what it did is told.
func TestTheTokenChangesWhileRequestsAreUnderWay(t *testing.T) {
	old := dnsd.Token{Name: "old", Secret: "old-one", Verbs: []string{"admin"}}
	s := serve(t, old, boss)
	g := s.gated(t)
	b := open(t, g.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	b.bears(old.Secret)
	b.visit("#/s/_math._tcp")
	b.opened("a1")
	drain, events, lease := g.hold("PUT "+path("_math._tcp", "a1")+"/drain"), g.hold("GET /v1/events"), g.hold("GET /v1/services/_math._tcp")
	b.click(`[data-action="drain"]`, "")
	b.click("#confirm", "")
	b.takesItsTurn() // it asks at once
	for _, h := range []*held{drain, events, lease} {
		<-h.came
	}
	value[bool](b, `(window.told = [], new MutationObserver(() => told.push(document.querySelector("#live").innerText)).observe(document.querySelector("#live"), {childList: true, subtree: true}), true)`)
	b.click("#token", "Token")
	b.await(`document.querySelector("dialog[open] input") === document.activeElement`)
	b.run(chromedp.KeyEvent(boss.Secret + kb.Enter))
	<-events.gone
	<-lease.gone
	b.sees("#live.on", "live")
	s.reload(boss) // the request under way is refused with 401
	close(drain.release)
	b.sees("#told", "401: this token is unknown")
	b.sees("tr", "a1\tup")
	if n := value[int](b, `document.querySelectorAll("dialog[open]").length`); n != 0 {
		t.Error("the page asks for a token, though the present one is good")
	}
	if told := value[[]string](b, `told`); len(told) == 0 || strings.Contains(strings.Join(told, "\n"), "answer") {
		t.Errorf("the page tells %q of its stream, and dnsd answers", told)
	}
	b.clean()
}
