package console

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// longest is what no task of the page may take: below it a reader sees no stall.
const longest = 200 * time.Millisecond

// Ten thousand instances of one service, of which a hundred change in each second, do not
// hold the page up: it takes them in slices, and draws a part.
func TestTenThousandInstancesDoNotStallThePage(t *testing.T) {
	s := serve(t)
	const crowd, at = 10_000, 16
	var loading sync.WaitGroup
	for k := range at {
		loading.Go(func() {
			for i := k; i < crowd; i += at {
				if err := s.try("PUT", path("_crowd._tcp", fmt.Sprintf("c%05d", i)), fmt.Sprintf(`{"port":%d,"lease":"1h","meta":{"version":"1"}}`, 10000+i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	loading.Wait()
	b := open(t, s.url)
	b.visit("#/s/_crowd._tcp")
	b.sees(".pager", "1 to 100 of 10,000")
	value[bool](b, `(() => {
		window.tasks = [];
		new PerformanceObserver(list => { for (const e of list.getEntries()) window.tasks.push(e.duration) }).observe({type: "longtask", buffered: true});
		return true;
	})()`)
	// A hundred changes a second, for three seconds.
	beat := time.NewTicker(10 * time.Millisecond)
	defer beat.Stop()
	for i := range 300 {
		<-beat.C
		s.put("_crowd._tcp", fmt.Sprintf("c%05d", i), fmt.Sprintf(`{"port":%d,"lease":"1h","weight":7,"meta":{"version":"2"}}`, 10000+i))
	}
	b.await(`document.querySelectorAll("tbody tr").length >= 100 && [...document.querySelectorAll("tbody tr")].slice(0, 100).every(r => r.innerText.includes("version=2"))`)
	b.slash()
	b.run(chromedp.KeyEvent("c09999"))
	b.sees("tr", "c09999")
	rows := value[int](b, `document.querySelectorAll("tr").length`)
	tasks := value[[]float64](b, `window.tasks`)
	most := 0.0
	for _, d := range tasks {
		most = max(most, d)
	}
	t.Logf("%d tasks above 50 ms, the longest %.0f ms; %d rows", len(tasks), most, rows)
	if d := time.Duration(most * float64(time.Millisecond)); d > longest {
		t.Errorf("a task of the page took %v", d)
	}
	if rows > 200 {
		t.Errorf("%d rows are drawn", rows)
	}
	b.follow("#/", "10,000 of 10,000")
	b.follow("#/s/_crowd._tcp", "1 to 100 of 10,000")
	b.sees("pre", "IN SRV")
	for _, width := range []int64{1200, 390} {
		b.resize(width, 844)
		b.fits(fmt.Sprintf("crowd-%d", width))
	}
	b.clean()
}
