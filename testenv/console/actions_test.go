package console

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// With tokens the page asks for one, keeps it in this tab only, shows why it may not act, and
// forgets it.
func TestTheTokenIsAskedForAndForgotten(t *testing.T) {
	s := serve(t, dnsd.Token{Name: "looker", Secret: "look", Verbs: []string{"read"}}, dnsd.Token{Name: "boss", Secret: "rule", Verbs: []string{"admin"}})
	b := open(t, s.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	b.run(chromedp.Navigate(b.url + "/#/s/_math._tcp"))
	b.sees("dialog", "this hook requires a token")
	enter := func(token string) {
		b.await(`document.querySelector("dialog[open] input") === document.activeElement`)
		b.run(chromedp.KeyEvent(token + kb.Enter))
	}
	enter("wrong")
	b.sees("dialog", "this token is unknown")
	enter("look")
	b.await(`document.querySelector("#live.on")`)
	b.click("button.link", "a1")
	b.click("dialog button", "Remove")
	b.await(`document.querySelector("#confirm")`)
	b.click("#confirm", "Remove")
	b.sees(".outcome", "403: this token does not allow write for _math._tcp")
	b.click("dialog.small button", "Cancel")
	b.sees("dialog", "Remove was refused: this token does not allow write for _math._tcp")
	b.click("dialog button", "Close")
	if kept := value[string](b, `JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])`); kept != `[{"rollcall-token":"look"},{},""]` {
		t.Errorf("the page keeps %s", kept)
	}
	b.click("#token", "Token")
	b.sees("dialog", "A token is in use")
	enter("rule")
	b.sees("tr", "a1\tup")
	b.click("button.link", "a1")
	b.click("dialog button", "Remove")
	b.click("#confirm", "Remove")
	b.sees("#told", "_math._tcp/a1 is removed: 204")
	b.sees("tr", "boss at 127.0.0.1")
	b.await(`!document.querySelector("dialog[open] .outcome")`)
	b.run(chromedp.KeyEvent(kb.Escape))
	b.click("#token", "Token")
	b.click("dialog button", "Forget it")
	b.sees("dialog", "this hook requires a token")
	if kept := value[string](b, `JSON.stringify({...sessionStorage})`); kept != "{}" {
		t.Errorf("the page keeps %s", kept)
	}
	b.clean()
}

// Texts of registrations are shown as text, wherever they are shown.
func TestHostileTextsAreShownAsText(t *testing.T) {
	s := serve(t)
	b := open(t, s.url)
	const bad = `<img src=x onerror='window.hit=1'>`
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m","meta":{"<img>":"`+bad+`","version":"`+bad+`"}}`)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m","meta":{"version":"</td><script>window.hit=1</script>`+bad+`"}}`)
	for _, v := range []struct{ hash, text string }{
		{"#/", bad},
		{"#/s/_math._tcp", bad},
		{"#/events", bad},
		{"#/s/" + "%3Cimg%20src%3Dx%20onerror%3D'window.hit%3D1'%3E", "<img"},
	} {
		b.visit(v.hash)
		b.sees("#view", v.text)
		if v.hash == "#/s/_math._tcp" {
			b.click("button.link", "a1")
			b.sees("dialog", bad)
			b.sees("dialog pre", "IN TXT")
		}
		if n := value[int](b, `document.querySelectorAll("main img, main script, dialog img, dialog script").length + (window.hit ? 100 : 0)`); n != 0 {
			t.Errorf("%s: %d", v.hash, n)
		}
	}
	b.clean()
}
