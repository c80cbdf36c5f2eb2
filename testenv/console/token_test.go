package console

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// boss may do everything.
var boss = dnsd.Token{Name: "boss", Secret: "rule", Verbs: []string{"admin"}}

// What dnsd refused can be done when a reload of dnsd allows it, without a reload of the page.
func TestWhatWasRefusedIsTriedAgain(t *testing.T) {
	looker := dnsd.Token{Name: "looker", Secret: "look", Verbs: []string{"read"}, Services: []string{"_math._tcp"}}
	s := serve(t, looker, boss)
	b := open(t, s.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	s.put("_time._udp", "t1", `{"port":123,"lease":"10m"}`)
	b.before(timers)
	b.bears(looker.Secret)

	part(t, s, b, "a token of one service sees the events of the service", func(t *testing.T) {
		b.run(chromedp.Navigate(b.url + "/#/s/_math._tcp"))
		b.sees("#live.bad", "this token may not read all services")
		b.sees("section[aria-label='Events of the service'] tr", "registered\ta1\tboss at 127.0.0.1")
		b.follow("#/s/_time._udp", "this token does not allow read for _time._udp")
		b.sees("section[aria-label='Events of the service']", "this token does not allow read for _time._udp")
		b.follow("#/events", "this token does not allow read for all services")
		b.sees("#view", "The page of a service shows its events")
		b.follow("#/s/_math._tcp", "registered\ta1")
	})

	part(t, s, b, "an action that was refused", func(t *testing.T) {
		b.opened("a1")
		if got := b.acted("remove", func() {}); !strings.HasPrefix(got, "403: ") {
			t.Fatalf("the outcome of Remove is %q, want a refusal with 403", got)
		}
		b.click("dialog.small button", "Cancel")
		b.sees("dialog", "Remove was refused: this token does not allow write for _math._tcp")
		looker.Verbs = []string{"write"}
		s.reload(looker, boss)
		if got := b.acted("remove", func() {}); !strings.Contains(got, "_math._tcp/a1 is removed: 204") {
			t.Errorf("the outcome of Remove is %q, though dnsd allows it now", got)
		}
	})

	part(t, s, b, "the stream that was refused", func(*testing.T) {
		looker.Services = []string{"*"}
		s.reload(looker, boss)
		b.await(`document.querySelector("#live.on") || (hurry(10000, 40000), false)`) // 40 s bound the silence of a stream
		b.follow("#/", "_time._udp")
		b.sees("section[aria-label='Last events'] tr", "registered\t_time._udp/t1")
	})
	b.clean()
}

// What the metrics said is of the token that read them: a token that may not read them does not
// see it.
func TestAnotherTokenDoesNotKeepTheStateOfTheStore(t *testing.T) {
	looker := dnsd.Token{Name: "looker", Secret: "look", Verbs: []string{"read"}, Services: []string{"_math._tcp"}}
	s := serve(t, looker, boss)
	g := s.gated(t)
	b := open(t, g.url)
	g.fix("/metrics", "rollcall_registry_store_sick 1\nrollcall_build_info{version=\"v0.0.7\"} 1\nprocess_start_time_seconds 1764369000\n")
	b.bears(boss.Secret)
	b.visit("#/")
	b.sees(".note.bad", "Changes cannot be stored now")
	b.sees("#about", "v0.0.7, up for")
	metrics := g.hold("GET /metrics")
	b.takesItsTurn() // it asks at once
	<-metrics.came
	b.click("#token", "Token")
	b.await(`document.querySelector("dialog[open] input") === document.activeElement`)
	b.run(chromedp.KeyEvent(looker.Secret + kb.Enter))
	<-metrics.gone
	b.sees("#live.bad", "this token may not read all services")
	if kept := value[string](b, `[...document.querySelectorAll("#about, .note.bad:not([hidden])")].map(e => e.textContent).join("; ")`); kept != "dnsd" {
		t.Errorf("the page of the other token shows %q", kept)
	}
	b.clean()
}

// An answer for a tab that the token of the page has lost meanwhile is told in words for a reader.
func TestTheTokenChangesBeforeATabHasItsAnswer(t *testing.T) {
	s := serve(t, boss)
	g := s.gated(t)
	b := open(t, g.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	b.bears(boss.Secret)
	b.visit("#/cluster")
	b.sees("#view", "writer")
	cluster := g.hold("GET /v1/cluster")
	b.click("#view a", "JSON")
	<-cluster.came
	b.click("#token", "Token")
	b.await(`document.querySelector("dialog[open] input") === document.activeElement`)
	b.run(chromedp.KeyEvent(boss.Secret + kb.Enter))
	<-cluster.gone
	b.sees("#told", "The token was changed before the answer came.")
	b.clean()
}

// A tab that shows an answer of the API has no token: it has no copy of what the console
// keeps.
func TestTheTabOfAnAnswerHasNoToken(t *testing.T) {
	s := serve(t, boss)
	b := open(t, s.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	b.bears(boss.Secret)
	b.visit("#/s/_math._tcp")
	b.click("#view a", "JSON")
	var shown *target.Info
	for shown == nil {
		all, err := chromedp.Targets(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(all, func(i *target.Info) bool { return strings.HasPrefix(i.URL, "blob:"+b.url) }); i >= 0 {
			shown = all[i]
		}
	}
	tab, end := chromedp.NewContext(b.ctx, chromedp.WithTargetID(shown.TargetID))
	defer end()
	if err := chromedp.Do(tab); err != nil {
		t.Fatal(err)
	}
	c := &browser{t: t, ctx: tab, url: b.url}
	c.sees("body", `"id":"a1"`)
	if kept := value[string](c, `JSON.stringify([{...sessionStorage}, !!opener])`); kept != "[{},false]" {
		t.Errorf("the tab has %s", kept)
	}
	b.clean()
}
