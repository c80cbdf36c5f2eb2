package console

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Ages are by dnsd's clock, also where the clock of the browser is minutes ahead or behind.
func TestAgesAreByTheClockOfDnsd(t *testing.T) {
	s := serve(t)
	s.put("_math._tcp", "a1", `{"port":9001,"lease":"10m"}`)
	for name, by := range map[string]time.Duration{"behind": 7 * time.Minute, "ahead of": -7 * time.Minute} {
		b := open(t, s.url)
		b.before(fmt.Sprintf(`window.Date = class extends Date {
			constructor(...all) { if (all.length) super(...all); else super(new.target.now()) }
			static now() { return super.now() + %d }
		}`, by.Milliseconds()))
		b.visit("#/events")
		b.sees("tr", "registered")
		b.sees("#about", "up for")
		if about := value[string](b, `document.getElementById("about").innerText`); !strings.Contains(about, "its clock is 7 min "+name+" this browser's") {
			t.Errorf("%v: the page says %q", by, about)
		}
		// The header Date has whole seconds, so the page knows the time to a second.
		from := time.Now()
		now := time.UnixMilli(int64(value[float64](b, `import("/console/clock.js").then(c => c.now())`)))
		if until := time.Now(); now.Before(from.Add(-time.Second)) || now.After(until.Add(time.Second)) {
			t.Errorf("%v: the page takes it for %v, and it is %v to %v", by, now, from, until)
		}
		if age := value[string](b, `document.querySelector("td.when").title`); !strings.HasSuffix(age, " s ago") {
			t.Errorf("%v: the event is from %q", by, age)
		}
		b.clean()
	}
}
