package console

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait: what takes longer does not happen. A machine that does other
// things meanwhile is slow.
const patience = 60 * time.Second

// browser is a tab.
type browser struct {
	t   *testing.T
	ctx context.Context
	url string

	session context.Context // of the tab, without an end of its time
	end     func()          // closes the tab

	mu      sync.Mutex
	faults  []string // errors in the page: exceptions, and what the policy stopped
	foreign []string // requests to other origins
}

// chromium is one process of the browser for all tests: it takes a second to start.
var chromium struct {
	once sync.Once
	ctx  context.Context
	end  func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.end != nil {
		chromium.end()
	}
	os.Exit(code)
}

func start() {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		chromium.err = exec.ErrNotFound
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, // tests may run as root, and without a screen
		chromedp.WSURLReadTimeout(patience))
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	first, endFirst := chromedp.NewContext(ctx)
	chromium.ctx, chromium.end = first, func() { endFirst(); end() }
	chromium.err = chromedp.Do(first)
}

// open opens a tab of its own session, without a page.
func open(t *testing.T, url string) *browser {
	t.Helper()
	chromium.once.Do(start)
	if chromium.err != nil {
		if os.Getenv("ROLLCALL_PEERS") != "" {
			t.Fatalf("Chromium: %v: apt-get install chromium", chromium.err)
		}
		t.Skipf("Chromium: %v", chromium.err)
	}
	return tab(t, chromium.ctx, url, chromedp.WithNewBrowserContext())
}

// another opens another window of the same session.
func (b *browser) another() *browser {
	b.t.Helper()
	return tab(b.t, b.session, b.url)
}

func tab(t *testing.T, from context.Context, url string, options ...chromedp.ContextOption) *browser {
	t.Helper()
	b := &browser{t: t, url: url}
	tab, end := chromedp.NewContext(from, append(options, chromedp.WithListener(b.listen))...)
	b.session, b.end = tab, end
	t.Cleanup(end)
	if err := chromedp.Do(tab); err != nil { // makes the tab, which must not end with a time
		t.Fatal(err)
	}
	var cancel context.CancelFunc
	b.ctx, cancel = context.WithTimeout(tab, patience)
	t.Cleanup(cancel)
	call(b, cdplog.Enable, cdp.Empty{})
	call(b, network.Enable, network.EnableParams{})
	b.resize(1200, 800)
	return b
}

// listen notes what must not happen.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += ": " + x.Description
		}
		b.faults = append(b.faults, text)
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError && e.Entry.Source != cdplog.EntrySourceNetwork {
			b.faults = append(b.faults, e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.url+"/") && !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:") {
			b.foreign = append(b.foreign, u)
		}
	}
}

// clean fails the test if the page did what it must not do.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		b.t.Errorf("in the page: %s", f)
	}
	for _, f := range b.foreign {
		b.t.Errorf("the page asked for %s", f)
	}
}

// wasAtFault fails the test unless the page has reported faults, all of which have the text. They
// are forgotten then.
func (b *browser) wasAtFault(text string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) == 0 {
		b.t.Error("the fault of the page is not reported")
	}
	for _, f := range b.faults {
		if !strings.Contains(f, text) {
			b.t.Errorf("in the page: %s", f)
		}
	}
	b.faults = nil
}

func (b *browser) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// call sends a command of the protocol.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	r, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *browser) resize(width, height int64) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500})
}

func (b *browser) scheme(name string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// before runs a script before those of every page that the tab loads.
func (b *browser) before(script string) {
	b.t.Helper()
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// timers lets a test end long times early: hurry calls what waits for at least so many
// milliseconds, and less than others, and says whether something did.
const timers = `(() => {
	const set = setTimeout, clear = clearTimeout, waiting = new Map();
	window.setTimeout = (f, ms, ...rest) => {
		const id = set(() => { waiting.delete(id); f(...rest) }, ms);
		if (ms >= 10000) waiting.set(id, { f, ms });
		return id;
	};
	window.clearTimeout = id => { waiting.delete(id); clear(id) };
	window.hurry = (least, others = Infinity) => {
		const early = [...waiting].filter(([, w]) => w.ms >= least && w.ms < others);
		for (const [id, w] of early) { window.clearTimeout(id); w.f() }
		return early.length > 0;
	};
})()`

// bears gives the tab a token.
func (b *browser) bears(token string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.url + "/console/icon.svg"))
	value[bool](b, `(sessionStorage.setItem("rollcall-token", `+quote(token)+`), true)`)
}

// visit goes to a view of the console, "#/events", and waits until it has the stream.
func (b *browser) visit(view string) {
	b.t.Helper()
	b.run(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"/"+view))
	b.await(`document.querySelector("#live.on") !== null`)
}

// value evaluates an expression in the page.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// await waits until a condition holds in the page.
func (b *browser) await(condition string) {
	b.t.Helper()
	loop := `new Promise(done => { const look = () => { let ok = false; try { ok = !!(` + condition + `) } catch {} ; ok ? done(true) : setTimeout(look, 20) }; look() })`
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](loop, chromedp.EvalAwaitPromise)); err != nil {
		b.t.Fatalf("waiting for %s: %v\nthe page: %s", condition, err, b.text())
	}
}

// text is all text that the page shows.
func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// sees waits until the element shows a text.
func (b *browser) sees(selector, text string) {
	b.t.Helper()
	b.await(fmt.Sprintf(`[...document.querySelectorAll(%s)].some(e => e.innerText.includes(%s))`, quote(selector), quote(text)))
}

// click clicks an element by its selector and a part of its text.
func (b *browser) click(selector, text string) {
	b.t.Helper()
	b.await(fmt.Sprintf(`(() => { const e = [...document.querySelectorAll(%s)].find(e => e.innerText.includes(%s) && !e.disabled); e?.click(); return e })()`, quote(selector), quote(text)))
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a text is always JSON
	}
	return string(b)
}
