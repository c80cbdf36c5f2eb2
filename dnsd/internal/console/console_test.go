package console

import (
	"strings"
	"testing"
)

// The files have nothing that the policy stops, no way to make markup of text, and nothing
// from elsewhere; and each can be read in one sitting.
func TestFilesAreStrict(t *testing.T) {
	entries, err := page.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		body, err := page.ReadFile("page/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		text := string(body)
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "@import", "url(", ` style="`, ` onclick="`, "<style", "localStorage", "document.cookie"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %s", e.Name(), bad)
			}
		}
		if at := strings.Index(text, "://"); at >= 0 && !strings.Contains(text, "http://www.w3.org/2000/svg") {
			t.Errorf("%s names another place: %s", e.Name(), text[max(0, at-20):min(len(text), at+40)])
		}
		if n := strings.Count(text, "\n"); n > 400 {
			t.Errorf("%s has %d lines: split it by noun", e.Name(), n)
		}
		if file(e.Name(), body).Type == "" {
			t.Errorf("%s has no media type", e.Name())
		}
		if e.Name() == index && strings.Count(text, "<script") != strings.Count(text, "<script type=\"module\" src=") {
			t.Error("a script is inline")
		}
	}
}

// Pages of two zones are two files for a browser; what they load is the same.
func TestTheZoneIsInThePageAndInItsTag(t *testing.T) {
	a, b := For("a.", []string{"x", "y z"}), For(`"><b>.`, nil)
	if a.ETag == b.ETag || !strings.Contains(string(a.Body), `data-zone="a." data-events="x,y z">`) || strings.Contains(string(b.Body), "<b>") {
		t.Errorf("%s %s", a.ETag, b.ETag)
	}
	x, _ := a.Load("main.js")
	y, ok := b.Load("main.js")
	if !ok || x.ETag != y.ETag || x.Type != "text/javascript; charset=utf-8" {
		t.Errorf("%+v %+v", x.ETag, y.ETag)
	}
	if _, ok := a.Load(index); ok {
		t.Error("the page without its zone can be loaded")
	}
}
