package console

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "keep the pictures of the views in this folder")

// fleet registers a little of everything: services that are well, one with suspects, one
// with drained instances, one whose last instance left, long names, and metadata.
func fleet(s *server) {
	for i := range 3 {
		s.put("_math._tcp", fmt.Sprintf("a%d", i+1), fmt.Sprintf(`{"port":900%d,"lease":"10m","meta":{"version":"1.4.2","commit":"5f3c9e1"}}`, i))
		s.put("_time._udp", fmt.Sprintf("t%d", i+1), fmt.Sprintf(`{"port":123%d,"lease":"10m"}`, i))
	}
	for i := range 14 {
		s.put("_users._tcp", fmt.Sprintf("users-%02d", i), fmt.Sprintf(`{"port":%d,"lease":"10m","weight":%d,"meta":{"version":"2.0.%d","zone":"eu-west-1a"}}`, 8000+i, 50+i, i))
	}
	s.do("PUT", path("_users._tcp", "users-03")+"/drain", "")
	s.do("PUT", path("_users._tcp", "users-04")+"/drain?sticky=1", "")
	s.put("_a-service-with-a-name-that-is-as-long-as-names-of-services-may-._tcp"[:60]+"x._tcp", "an-instance-with-a-name-that-is-as-long-as-labels-in-dns-may-be", `{"port":65535,"lease":"1h"}`)
	s.put("_billing._tcp", "b1", `{"port":7000}`)
	s.do("PUT", path("_math._tcp", "a3"), `{"port":9002,"lease":"10m","weight":50,"meta":{"version":"1.5.0","commit":"99aa00f"}}`)
	for i := range 12 { // nothing renews the even ones: the guard keeps some of them as suspects
		s.put("_orders._udp", fmt.Sprintf("o%d", i+1), fmt.Sprintf(`{"port":%d,"lease":"%s","ttl":"1s"}`, 4000+i, []string{"3s", "10m"}[i%2]))
	}
}

// measure says what is wrong with the layout: what is wider than the screen, or cut off.
const measure = `(() => {
	const wide = innerWidth, faults = [];
	if (document.documentElement.scrollWidth > wide) faults.push("the page scrolls sideways: " + document.documentElement.scrollWidth);
	for (const e of document.querySelectorAll("body *")) {
		const r = e.getBoundingClientRect();
		if (!r.width || !r.height || e.closest("pre, thead, .skip")) continue;
		if (r.right > wide + 1 || r.left < -1) faults.push(e.tagName + "." + e.className + " from " + r.left + " to " + r.right + ": " + e.innerText.slice(0, 40));
		const style = getComputedStyle(e);
		if (style.overflowX === "hidden" && style.textOverflow !== "ellipsis" && e.scrollWidth > e.clientWidth + 1) faults.push(e.tagName + "." + e.className + " cuts its content off: " + e.scrollWidth + " in " + e.clientWidth);
	}
	return faults.slice(0, 10);
})()`

// contrast says which texts are too weak for level AA (WCAG 2.2, 1.4.3): 4.5 to 1. Colours
// are mixed by the browser, so they are painted, layer upon layer, and read back.
const contrast = `(() => {
	const pen = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});
	const paint = colors => {
		for (const c of colors) { pen.fillStyle = c; pen.fillRect(0, 0, 1, 1) }
		return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
	};
	const light = rgb => { const [r, g, b] = rgb.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
	const faults = new Set();
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
		if (!own || !e.getClientRects().length || e.disabled) continue;
		const layers = [];
		for (let p = e; p; p = p.parentElement) layers.unshift(getComputedStyle(p).backgroundColor);
		const back = paint(layers), ink = paint([...layers, getComputedStyle(e).color]);
		const [a, b] = [light(back), light(ink)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
		if (ratio < 4.5) faults.add(e.tagName + "." + e.className + " " + ratio.toFixed(2) + ": " + e.innerText.slice(0, 30));
	}
	return [...faults].slice(0, 10);
})()`

// judge looks at the view that is open: its layout and its colours.
func (b *browser) judge(name string) {
	b.t.Helper()
	b.fits(name)
	for _, fault := range value[[]string](b, contrast) {
		b.t.Errorf("%s: too little contrast: %s", name, fault)
	}
}

// fits looks at the layout of the view that is open, and takes its picture.
func (b *browser) fits(name string) {
	b.t.Helper()
	for _, fault := range value[[]string](b, measure) {
		b.t.Errorf("%s: %s", name, fault)
	}
	dir := *shots
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// Each view, wide and narrow, light and dark: nothing is cut off, nothing needs scrolling
// sideways, and all text can be read.
func TestViewsFitWideAndNarrowLightAndDark(t *testing.T) {
	s := serve(t)
	b := open(t, s.url)
	fleet(s)
	b.visit("#/")
	s.do("DELETE", path("_billing._tcp", "b1"), "") // the page has seen it: it shows the empty service
	b.sees("tr", "no instance is left")
	b.sees("tr", "_orders._udp\tsuspect")
	b.sees(".columns", "the guard keeps it")
	for _, screen := range []struct {
		width, height int64
		scheme        string
	}{{1200, 900, "light"}, {1200, 900, "dark"}, {390, 844, "light"}, {390, 844, "dark"}} {
		b.resize(screen.width, screen.height)
		b.scheme(screen.scheme)
		name := fmt.Sprintf("-%d-%s", screen.width, screen.scheme)
		go_ := func(hash, text string) {
			value[string](b, `location.hash = "`+hash+`"`)
			b.sees("#view", text)
		}
		go_("#/", "Last events")
		b.judge("overview" + name)
		go_("#/s/_users._tcp", "users-13")
		b.sees("pre", "IN SRV")
		b.judge("service" + name)
		b.click("button.link", "users-03")
		b.sees("dialog", "NXDOMAIN")
		b.judge("instance" + name)
		b.click("dialog button", "Undrain")
		b.await(`document.querySelector("#confirm")`)
		b.judge("confirm" + name)
		go_("#/s/_orders._udp", "Release guard")
		b.judge("trouble" + name)
		go_("#/events", "registered")
		b.judge("events" + name)
		go_("#/cluster", "writer")
		b.judge("cluster" + name)
	}
	b.clean()
}
