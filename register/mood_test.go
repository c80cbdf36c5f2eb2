package register

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// manyHooks are the hooks of several dnsd that share a registry.
var manyHooks = []string{"http://hook", "http://hook2", "http://hook3", "http://hook4"}

// moody is the way to a fake hook that is in a mood, by one or several names. Each name can
// have its own. It counts requests.
type moody struct {
	hook *fakeHook
	net  memory

	mu    sync.Mutex // guards moods, at
	moods []string   // of hook, hook2...; if there is only one, of all
	at    []time.Time
}

// The moods in which the hook executes all, although not all answers arrive.
var taking = []string{"well", "late", "lost"}

// The moods in which it takes no changes, and what it does with them; it takes renewals.
var refusing = []string{
	"no change 500", "no change 503", "no change 507", "no change 429", "no change 408", "no change 302", "no change hangs", "no change reset", "no change refused",
}

// The moods in which it takes nothing, and says so at once.
var quick = []string{"away", "proxy", "reset", "503"}

// The moods in which it takes nothing.
var harsh = []string{"away", "hangs", "proxy", "reset", "forgets"}

func newMoody(lease time.Duration) *moody {
	m := &moody{hook: newFakeHook(), moods: []string{"well"}}
	m.hook.lease = lease
	m.net = memory{"hook": m.hook, "hook2": m.hook, "hook3": m.hook, "hook4": m.hook}
	return m
}

// set gives all hooks one mood, or each its own.
func (m *moody) set(moods ...string) {
	m.mu.Lock()
	m.moods = moods
	m.mu.Unlock()
	for _, mood := range moods {
		switch mood {
		case "forgets":
			m.hook.forget()
		case "away", "proxy", "reset":
			m.hook.breakHolds()
		}
	}
}

// breakHolds ends the answers of all holds.
func (h *fakeHook) breakHolds() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.holds {
		close(c)
	}
	clear(h.holds)
}

// changes reports whether the request is a PUT that would change what is registered.
func (m *moody) changes(r *http.Request) bool {
	if r.Method != http.MethodPut {
		return false
	}
	body, err := r.GetBody()
	if err != nil {
		return true
	}
	var reg Registration
	if json.NewDecoder(body).Decode(&reg) != nil {
		return true
	}
	has, ok := m.hook.entry("a1")
	return !ok || !reflect.DeepEqual(reg, has)
}

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}

// RoundTrip sends a request in the present mood.
func (m *moody) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	mood := m.moods[0]
	if len(m.moods) > 1 {
		mood = m.moods[slices.Index(manyHooks, "http://"+r.URL.Host)]
	}
	m.at = append(m.at, time.Now())
	m.mu.Unlock()
	if how, ok := strings.CutPrefix(mood, "no change "); ok {
		if !m.changes(r) {
			return m.net.RoundTrip(r)
		}
		mood = how
	}
	switch mood {
	case "away":
		return nil, errRefused
	case "hangs":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "reset":
		return nil, errReset
	case "proxy":
		return m.answer(r, http.StatusBadGateway, "text/html"), nil
	case "302":
		return m.answer(r, http.StatusFound, "text/html"), nil
	case "500":
		return m.answer(r, http.StatusInternalServerError, ProblemType), nil
	case "503":
		return m.answer(r, http.StatusServiceUnavailable, ProblemType), nil
	case "507":
		return m.answer(r, http.StatusInsufficientStorage, ProblemType), nil
	case "429":
		return m.answer(r, http.StatusTooManyRequests, ProblemType), nil
	case "408":
		return m.answer(r, http.StatusRequestTimeout, ProblemType), nil
	case "refused":
		return m.answer(r, http.StatusRequestEntityTooLarge, ProblemType), nil
	case "late", "lost":
		resp, err := m.net.RoundTrip(r)
		if err != nil || r.Method == http.MethodPost {
			return resp, err
		}
		if mood == "lost" {
			resp.Body.Close()
			return nil, errReset
		}
		time.Sleep(m.hook.lease / 8)
		return resp, nil
	}
	return m.net.RoundTrip(r)
}

func (m *moody) answer(r *http.Request, status int, kind string) *http.Response {
	h := http.Header{"Content-Type": {kind}}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "3")
	}
	return &http.Response{
		StatusCode: status, Header: h, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(`{"title":"no","status":1,"detail":"free some space"}`)),
	}
}

// busiest is the largest number of requests within a time.
func (m *moody) busiest(within time.Duration) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	most, from := 0, 0
	for i := range m.at {
		for m.at[i].Sub(m.at[from]) > within {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}
