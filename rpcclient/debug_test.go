package rpcclient

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDebugPageSaysWhyEachNodeIsUsedOrNot(t *testing.T) {
	up, down := startStock(t, ""), startStock(t, "")
	down.stop()
	c := newClient(t, Config{}, up.addr, down.addr)
	ready(t, c)
	for range 10 {
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{1, 2}, new(int)); err != nil {
			t.Fatal(err)
		}
	}
	for { // until the dead one was dialled
		changed := c.changed.next()
		if c.Stats().DialFailures > 0 {
			break
		}
		<-changed
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", "/?format=json", nil))
	var page Page
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
		t.Fatal(err, w.Body)
	}
	if len(page.Nodes) != 2 || page.Stats.Calls != 10 {
		t.Fatalf("%+v", page)
	}
	for _, n := range page.Nodes {
		switch n.Addr {
		case up.addr:
			if !n.Used || n.Why != "used" || n.Share != 1 || n.ActualShare != 1 || n.Calls != 10 {
				t.Errorf("%+v", n)
			}
		case down.addr:
			if n.Used || !strings.Contains(n.Why, "refused") || n.Share != 0 || n.ActualShare != 0 {
				t.Errorf("%+v", n)
			}
		}
	}
	w = httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{up.addr, down.addr, "refused", "_math._tcp.svc", "</table>"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("page lacks %q", want)
		}
	}
	for target, want := range map[string]int{"/?format=xml": 400, "/": 405} {
		method := "GET"
		if want == 405 {
			method = "POST"
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		if w.Code != want {
			t.Errorf("%s %s: %d, want %d", method, target, w.Code, want)
		}
	}
}
