package console

import (
	"testing"
)

// A fault of the page in an action is told as one: dnsd has answered. A priority that DNS
// publishes otherwise is told beside the registered one.
func TestAFaultOfThePageIsNoSilenceOfDnsd(t *testing.T) {
	s := serve(t)
	b := open(t, s.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m","priority":65530}`)
	b.visit("#/s/_math._tcp")
	b.sees("tr", "65530, 65519 in DNS")
	b.click("button.link", "a1")
	b.click("dialog button", "Drain")
	value[bool](b, `(window.parse = JSON.parse, JSON.parse = () => { throw new TypeError("a fault of the test") }, true)`)
	b.click("#confirm", "Drain")
	b.sees(".outcome", "this page has a fault: load it again: it is not known whether this was done.")
	value[bool](b, `(JSON.parse = window.parse, true)`)
	b.click("dialog.small button", "Cancel")
	b.sees("tr", "a1\tdrained")
	b.wasAtFault("a fault of the test")
	b.clean()
}
