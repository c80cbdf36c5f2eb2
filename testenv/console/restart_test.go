package console

import (
	"testing"
)

// pauses ends the pauses of the stream early, and notes how long they were to be. Without chance,
// each is as long as the page means it.
const pauses = `(() => {
	const set = setTimeout;
	window.pauses = [];
	window.setTimeout = (f, ms, ...rest) => {
		if (!(ms >= 500 && ms <= 15000) || ms === 700) return set(f, ms, ...rest); // 700: the events are read
		window.pauses.push(ms);
		return set(f, 5, ...rest);
	};
	Math.random = () => 0.5;
})()`

// When dnsd was restarted with an empty registry, the page shows what the new one has, and the
// services that are not there any more as empty ones.
func TestARestartOfDnsdIsFollowed(t *testing.T) {
	first, second := serve(t), serve(t)
	g := first.gated(t)
	b := open(t, g.url)
	first.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	second.put("_web._tcp", "b1", `{"port":9002,"lease":"10m"}`)
	b.before(pauses)
	b.visit("#/")
	b.sees("section[aria-label=Services] tr", "_math._tcp\tup")
	g.cut(true)
	b.sees("#live.bad", "no answer since ")
	g.lead(second)
	g.cut(false)
	b.sees("#live.on", "live")
	b.sees("section[aria-label=Services] tr", "_web._tcp\tup")
	b.sees("section[aria-label=Services] tr", "_math._tcp\tgone")
	b.clean()
}

// A fault of the page in the list of services is reported, and the page asks for the list less
// and less often, though the stream begins well each time.
func TestAFaultOfThePageDoesNotLoadDnsd(t *testing.T) {
	s := serve(t)
	g := s.gated(t)
	b := open(t, g.url)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	b.before(pauses)
	b.visit("#/")
	value[bool](b, `import("/console/state.js").then(s => {
		window.put = s.Store.prototype.put;
		window.replace = s.Store.prototype.replace;
		s.Store.prototype.put = s.Store.prototype.replace = () => { throw new TypeError("a fault of the test") };
		return true;
	})`)
	value[bool](b, `(window.pauses.length = 0, true)`)
	s.put("_math._tcp", "a2", `{"port":9002,"lease":"10m"}`)
	b.await(`window.pauses.length >= 9`)
	got := value[[]float64](b, `window.pauses`)
	for i, p := range got[:9] {
		if i > 0 && p < min(got[i-1]*1.5, 15000) {
			t.Fatalf("the pauses do not grow: %v", got)
		}
	}
	b.sees("#live.bad", "this page has a fault")
	value[bool](b, `import("/console/state.js").then(s => { s.Store.prototype.put = window.put; s.Store.prototype.replace = window.replace; return true })`)
	b.sees("section[aria-label=Services] tr", "2 of 2")
	b.sees("#live.on", "live")
	b.wasAtFault("a fault of the test")

	// The list was whole, so the first pause after a break is short again.
	value[bool](b, `(window.pauses.length = 0, true)`)
	g.cut(true)
	b.await(`window.pauses.length >= 2`)
	g.cut(false)
	if got := value[[]float64](b, `window.pauses`); got[0] != 500 || got[1] <= 500 {
		t.Errorf("the pauses after a break are %v", got)
	}
	b.sees("#live.on", "live")
	b.clean()
}
