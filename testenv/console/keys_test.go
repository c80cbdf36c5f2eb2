package console

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// slash presses the key that goes to the filter. chromedp would type the character as well,
// though the page has taken the key.
func (b *browser) slash() {
	b.t.Helper()
	value[bool](b, `document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true, cancelable: true}))`)
	b.await(`document.activeElement.id === "filter"`)
}

// An operator drains an instance by the keys alone: the page asks, does it, tells what dnsd
// answered, and the event has the sender.
func TestAnInstanceIsDrainedByKeys(t *testing.T) {
	s := serve(t)
	b := open(t, s.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	s.put("_math._tcp", "b2", `{"port":9002,"lease":"10m"}`)
	b.visit("#/")
	b.sees("section[aria-label=Services] tr", "_math._tcp")
	press := func(keys string) { b.run(chromedp.KeyEvent(keys)) }
	focused := func(condition string) { b.await(`(e => ` + condition + `)(document.activeElement)`) }
	// tab goes on until the focus is where it should be, at most 40 times.
	tab := func(condition string) {
		t.Helper()
		for range 40 {
			press(kb.Tab)
			if value[bool](b, `(e => !!(`+condition+`))(document.activeElement)`) {
				return
			}
		}
		t.Fatalf("no key reaches %s", condition)
	}
	b.slash()
	focused(`e.id === "filter"`)
	tab(`e.innerText === "_math._tcp"`)
	press(kb.Enter)
	b.sees("h1", "_math._tcp")
	b.slash()
	focused(`e.id === "filter"`)
	press("a1")
	b.await(`document.querySelectorAll("button.link").length === 1`)
	tab(`e.innerText === "a1"`)
	press(kb.Enter)
	b.await(`document.querySelector('dialog[open] [data-action="drain"]')`)
	focused(`e.innerText === "Close"`)
	press(kb.Escape)
	b.await(`!document.querySelector("dialog[open]")`)
	focused(`e.innerText === "a1"`) // back where it was
	press(kb.Enter)
	b.await(`document.querySelector('dialog[open] [data-action="drain"]')`)
	tab(`e.dataset.action === "drain"`)
	press(kb.Enter)
	tab(`e.id === "confirm"`)
	press(kb.Enter)
	b.sees("#told", "_math._tcp/a1 is drained: 200 OK, state drained by operator")
	b.sees("dialog", "operator")
	press(kb.Escape)
	b.sees("tr", "a1\tdrained")
	b.sees("section[aria-label='Events of the service'] tr", "drained\ta1\t127.0.0.1\tby an operator")
	b.clean()
}
