package console

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// follow goes to another view of the page that is open, and waits for its heading or text.
func (b *browser) follow(hash, text string) {
	b.t.Helper()
	value[string](b, `location.hash = `+quote(hash))
	b.sees("#view", text)
}

// nodes is how many nodes the page holds, shown or not, after the garbage is collected.
func (b *browser) nodes() int64 {
	b.t.Helper()
	call(b, heapprofiler.CollectGarbage, cdp.Empty{})
	return int64(call(b, memory.GetDOMCounters, cdp.Empty{}).Nodes)
}

// mostLeft bounds the nodes that 20 views may leave: an answer under way may still hold one
// of them. A view of this test has more than 100.
const mostLeft = 400

// Going from view to view keeps the page alive, true, and small.
func TestViewsFollowEachOther(t *testing.T) {
	s := serve(t)
	b := open(t, s.url)
	for i := range 10 {
		s.put("_math._tcp", fmt.Sprintf("a%d", i), `{"port":9001,"lease":"10m"}`)
	}
	b.visit("#/")
	b.sees("section[aria-label=Services] tr", "_math._tcp")

	part(t, s, b, "polling a service does not change it", func(t *testing.T) {
		b.follow("#/s/_math._tcp", "a9")
		b.await(`document.querySelector("td.lease progress")`) // the answer of the poll is taken
		b.follow("#/", "Last events")
		if row := value[string](b, `document.querySelector("section[aria-label=Services] tbody tr td:last-child").innerText`); row != "" {
			t.Errorf("the service was changed %s, though nothing changed", row)
		}
	})

	part(t, s, b, "the link to the content keeps the view", func(t *testing.T) {
		b.follow("#/s/_math._tcp", "a9")
		value[bool](b, `(document.querySelector(".skip").focus(), true)`)
		b.run(chromedp.KeyEvent(kb.Enter))
		b.await(`document.activeElement.id === "main"`)
		if hash := value[string](b, `location.hash`); hash != "#/s/_math._tcp" {
			t.Errorf("the link goes to %s", hash)
		}
	})

	part(t, s, b, "views leave no nodes behind", func(t *testing.T) {
		round := func() {
			b.follow("#/", "Last events")
			b.follow("#/s/_math._tcp", "IN SRV")
			b.follow("#/events", "registered")
			b.follow("#/cluster", "writer")
		}
		round()
		before := b.nodes()
		for range 5 {
			round()
		}
		left := b.nodes() - before
		for range 20 { // what a request holds is free when its answer is there
			if left <= mostLeft {
				break
			}
			left = b.nodes() - before
		}
		t.Logf("%d nodes, and %d more after 20 views", before, left)
		if left > mostLeft {
			t.Errorf("20 views left %d nodes behind, more than %d", left, mostLeft)
		}
	})

	part(t, s, b, "a row keeps the focus when rows before it leave", func(t *testing.T) {
		b.follow("#/s/_math._tcp", "a9")
		value[bool](b, `([...document.querySelectorAll("button.link")].find(e => e.innerText === "a5").focus(), true)`)
		s.do("DELETE", path("_math._tcp", "a0"), "")
		s.do("DELETE", path("_math._tcp", "a4"), "")
		b.await(`document.querySelectorAll("button.link").length === 8`)
		if held := value[string](b, `document.activeElement.innerText`); held != "a5" {
			t.Errorf("the focus is at %.40q", held)
		}
	})

	part(t, s, b, "a malformed address shows the first view", func(*testing.T) {
		b.visit("#/s/%")
		b.sees("h1", "Services")
	})
	b.clean()
}
