package console

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// part runs a part of a test in the tab and with the dnsd of the whole test.
func part(t *testing.T, s *server, b *browser, name string, work func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		s.t, b.t = t, t
		work(t)
	})
	s.t, b.t = t, t
}

// opened opens the dialog of an instance from the view of its service, and returns its
// fields, each as "name=value".
func (b *browser) opened(id string) []string {
	b.t.Helper()
	b.await(`!document.querySelector("dialog[open]")`)
	b.click("button.link", id)
	b.await(`document.querySelector('dialog[open] [data-action="remove"]')`)
	return value[[]string](b, `[...document.querySelectorAll("dialog[open] .fields dt")].map(e => e.textContent + "=" + e.nextElementSibling.textContent)`)
}

// acted chooses an action in the dialog of an instance and confirms it after meanwhile was
// called. It returns what the page shows as the outcome, good or bad.
func (b *browser) acted(action string, meanwhile func()) string {
	b.t.Helper()
	value[bool](b, `document.getElementById("told").hidden = true`)
	b.click(`dialog[open] [data-action="`+action+`"]`, "")
	b.await(`document.querySelector("#confirm")`)
	meanwhile()
	b.click("#confirm", "")
	b.await(`!document.getElementById("told").hidden || document.querySelector(".outcome.bad")`)
	return value[string](b, `(document.querySelector(".outcome.bad") ?? document.getElementById("told")).innerText`)
}

// The dialog of an instance shows what is registered, acts on what it shows, and tells what
// came of it where a screen reader finds it.
func TestTheDialogIsOfTheInstanceThatWasShown(t *testing.T) {
	s := serve(t)
	b := open(t, s.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m","incarnation":1764369000123456789,"meta":{"Drained by":"operator, for good","State":"gone"}}`)
	s.put("_math._tcp", "b2", `{"port":9002,"lease":"10m","incarnation":7}`)
	s.put("_math._tcp", "c3", `{"port":9003,"lease":"10m"}`)
	b.visit("#/s/_math._tcp")
	nothing := func() {}

	part(t, s, b, "metadata does not pose as a field", func(t *testing.T) {
		fields := b.opened("a1")
		for _, want := range []string{"State=up", "Metadata State=gone", "Metadata Drained by=operator, for good"} {
			if !slices.Contains(fields, want) {
				t.Errorf("no field %q in %q", want, fields)
			}
		}
		for _, f := range fields {
			if f == "State=gone" || strings.HasPrefix(f, "Drained by=") {
				t.Errorf("the metadata is shown as the field %q", f)
			}
		}
		b.run(chromedp.KeyEvent(kb.Escape))
	})

	part(t, s, b, "what came of an action is told in the dialog above the page", func(t *testing.T) {
		b.opened("a1")
		if got := b.acted("drain", nothing); !strings.Contains(got, "_math._tcp/a1 is drained: 200") {
			t.Errorf("the outcome of Drain is %q", got)
		}
		if !value[bool](b, `document.querySelector("dialog:modal").contains(document.getElementById("told"))`) {
			t.Error("it is told below the dialog, where nothing is read aloud")
		}
		b.run(chromedp.KeyEvent(kb.Escape))
		b.await(`document.querySelector("main > #told")`) // it outlives the dialog
		if value[bool](b, `document.getElementById("told").hidden`) {
			t.Error("what was told is hidden with the dialog")
		}
	})

	part(t, s, b, "an incarnation of nanoseconds keeps its digits", func(t *testing.T) {
		if fields := b.opened("a1"); !slices.Contains(fields, "Incarnation=1764369000123456789") {
			t.Errorf("the fields are %q", fields)
		}
		if got := b.acted("remove", nothing); !strings.Contains(got, "_math._tcp/a1 is removed: 204") {
			t.Errorf("the outcome of Remove is %q", got)
		}
		b.run(chromedp.KeyEvent(kb.Escape))
	})

	part(t, s, b, "an instance that was replaced meanwhile is not removed", func(t *testing.T) {
		b.opened("b2")
		got := b.acted("remove", func() { s.put("_math._tcp", "b2", `{"port":9002,"lease":"10m","incarnation":8}`) })
		if !strings.HasPrefix(got, "409: ") {
			t.Fatalf("the outcome of Remove is %q, want a refusal with 409", got)
		}
		if err := s.try("GET", path("_math._tcp", "b2"), ""); err != nil {
			t.Fatalf("the new process is removed: %v", err)
		}
		b.await(`[...document.querySelectorAll("dialog .fields dt")].some(e => e.textContent === "Incarnation" && e.nextElementSibling.textContent === "8")`)
		b.run(chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent(kb.Escape))
		b.await(`!document.querySelector("dialog[open]")`)
		b.opened("b2") // the process that is shown now may be removed
		if got := b.acted("remove", nothing); !strings.Contains(got, "_math._tcp/b2 is removed: 204") {
			t.Errorf("the outcome of Remove is %q", got)
		}
	})
	b.clean()
}
