package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// three is what a member says of a cluster of three, of which one does not answer.
const three = `{"name":"dnsd-b.cluster.example","writer":"dnsd-a.cluster.example",
"members":[{"name":"dnsd-a.cluster.example","role":"writer","revision":28060223024,"hook":"https://dnsd-a.cluster.example:8053","address":"10.0.0.1:8054","certificate_ends":"2027-06-01T00:00:00Z"},
{"name":"dnsd-b.cluster.example","role":"follower","revision":28060223022,"hook":"https://dnsd-b.cluster.example:8053","address":"10.0.0.2:8054","lag":2,"certificate_ends":"2026-12-01T12:34:56Z"},
{"name":"dnsd-c.cluster.example","role":"follower","hook":"https://dnsd-c.cluster.example:8053","address":"[2001:db8::3]:8054","error":"Get \"https://[2001:db8::3]:8054/peer/v1/state\": dial tcp [2001:db8::3]:8054: connect: connection refused"}],
"etcd":{"inside":true,"version":"3.7.3","bytes":1048576,"quota":2147483648,
"members":[{"name":"dnsd-a.cluster.example","peer":"https://dnsd-a.cluster.example:2380","leader":true},{"name":"dnsd-b.cluster.example","peer":"https://dnsd-b.cluster.example:2380"},
{"name":"dnsd-c.cluster.example","peer":"https://dnsd-c.cluster.example:2380","error":"it does not answer: context deadline exceeded"}]}}`

// States that are rare fit as well: nothing is registered, long names and values, a dead member,
// dnsd away.
func TestRareStatesFit(t *testing.T) {
	s := serve(t)
	g := s.gated(t)
	b := open(t, g.url)
	each := func(name string) {
		t.Helper()
		for _, width := range []int64{1200, 390} {
			b.resize(width, 844)
			b.fits(fmt.Sprintf("%s-%d", name, width))
			if *shots != "" {
				b.scheme("dark")
				b.fits(fmt.Sprintf("%s-%d-dark", name, width))
				b.scheme("light")
			}
		}
	}
	b.visit("#/")
	b.sees("#view", "Nothing has happened")
	if about := value[string](b, `document.getElementById("about").innerText`); strings.Contains(about, "clock") {
		t.Errorf("the clocks agree, and the page says %q", about)
	}
	each("none")
	b.follow("#/s/_math._tcp", "No instance of this service is registered")
	b.sees("#view", "NXDOMAIN")
	each("none-service")

	name := "_" + strings.Repeat("n", 62) + "._tcp"
	id, text := strings.Repeat("i", 63), `<b>&amp;<script>alert(1)</script></b>`+strings.Repeat("x", 150)
	s.put(name, id, fmt.Sprintf(`{"port":65535,"priority":65535,"weight":65535,"lease":"1h","meta":{"%s":%q,"v":"1"}}`, strings.Repeat("k", 60), text))
	b.follow("#/", name)
	each("one")
	b.follow("#/s/"+name, id)
	b.sees("pre", "IN SRV")
	b.sees("section[aria-label='Events of the service'] tr", "registered")
	b.resize(1200, 844)
	if wide := value[float64](b, `document.querySelector("section[aria-label='Events of the service'] td.why").clientWidth`); wide < 120 {
		t.Errorf("a reason has %v pixels", wide)
	}
	each("one-service")
	b.click("button.link", id)
	b.sees("dialog", "IN TXT")
	each("one-instance")
	if narrow := value[bool](b, `[...document.querySelectorAll("dialog .fields dd")].some(e => e.clientWidth < 0.5*e.parentElement.clientWidth)`); narrow {
		t.Error("the names of the metadata take the place of the values")
	}
	b.click(`[data-action="drain"]`, "")
	b.await(`document.querySelector("#confirm")`)
	each("one-confirm")
	b.click("#confirm", "")
	b.sees("#told", "is drained: 200")
	each("one-told")
	b.run(chromedp.KeyEvent(kb.Escape))
	b.follow("#/events", "drained")
	b.await(`document.getElementById("told").hidden`) // it was about the other view
	each("one-events")

	g.fix("/v1/cluster", three)
	b.follow("#/cluster", "connection refused")
	if row := value[[]string](b, `[...document.querySelectorAll("tbody tr:nth-child(3) td")].map(e => e.textContent)`); row[1] != "fault" || row[2]+row[3] != "" {
		t.Errorf("it is not known where the dead member is, and its row is %q", row)
	}
	each("cluster")

	b.follow("#/s/"+name, id)
	g.cut(true)
	b.sees("#live.bad", "no answer since ")
	each("away-service")
	b.follow("#/cluster", "dnsd does not answer")
	each("away-cluster")
	b.follow("#/", name)
	each("away")
	g.cut(false)
	s.put("_back._tcp", "b1", `{"port":1,"lease":"10m"}`)
	b.sees("section[aria-label=Services] tr", "_back._tcp")
	b.sees("#live.on", "live")
	each("back")
	b.clean()
}
