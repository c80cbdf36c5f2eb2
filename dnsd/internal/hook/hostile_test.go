package hook

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw writes octets on a connection of its own, and returns the answers until the server
// closes it, at most two.
func (h *hook) raw(t *testing.T, octets string) (answers []answer) {
	t.Helper()
	c, err := h.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go io.WriteString(c, octets) // the server may not read it to its end
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for len(answers) < 2 {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			break
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("%d %s: %v", resp.StatusCode, body, err)
		}
		answers = append(answers, answer{resp.StatusCode, resp.Header, body})
	}
	return answers
}

// Requests that two programs could read in two ways, and those that are no HTTP, change
// nothing, and their connection carries no second request that was hidden in the first.
func TestRequestsOfTwoMeaningsChangeNothing(t *testing.T) {
	const (
		reg    = `{"port":1}`
		second = "DELETE " + a1 + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	)
	head := "PUT " + a1 + " HTTP/1.1\r\nHost: localhost\r\n"
	for name, c := range map[string]struct {
		octets string
		status int // 0: the connection is closed without an answer
	}{
		"two lengths":              {head + "Content-Length: 10\r\nContent-Length: 0\r\n\r\n" + reg + second, 400},
		"length of two numbers":    {head + "Content-Length: 10, 0\r\n\r\n" + reg + second, 400},
		"negative length":          {head + "Content-Length: -1\r\n\r\n" + reg + second, 400},
		"length with a sign":       {head + "Content-Length: +10\r\n\r\n" + reg + second, 400},
		"endless length":           {head + "Content-Length: 99999999999999999999\r\n\r\n" + reg + second, 400},
		"unknown encoding":         {head + "Transfer-Encoding: xchunked\r\n\r\n" + reg + second, 501},
		"two encodings":            {head + "Transfer-Encoding: gzip, chunked\r\n\r\na\r\n" + reg + "\r\n0\r\n\r\n" + second, 501},
		"chunk without a size":     {head + "Transfer-Encoding: chunked\r\n\r\nx\r\n" + reg + "\r\n0\r\n\r\n" + second, 400},
		"chunk of too many octets": {head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + reg + second, 400},
		"chunks that end early":    {head + "Transfer-Encoding: chunked\r\n\r\na\r\n{\"port\"", 408},
		"chunks that never end":    {head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n ", 408},
		"space before the colon":   {"PUT " + a1 + " HTTP/1.1\r\nHost: localhost\r\nContent-Length : 10\r\n\r\n" + reg + second, 400},
		"folded header":            {"PUT " + a1 + " HTTP/1.1\r\nHost: localhost\r\n Content-Length: 10\r\n\r\n" + reg + second, 400},
		"no host":                  {"PUT " + a1 + " HTTP/1.1\r\nContent-Length: 10\r\n\r\n" + reg + second, 400},
		"two hosts":                {head + "Host: localhost\r\nContent-Length: 10\r\n\r\n" + reg + second, 400},
		"another host in the URL":  {"PUT http://evil.example" + a1 + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + reg, 421},
		"zero in the path":         {"PUT /v1/services/_math._tcp/instances/a%00 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + reg, 400},
		"slash in the id":          {"PUT /v1/services/_math._tcp/instances/a%2fhold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + reg, 400},
		"dots in the id":           {"PUT /v1/services/_math._tcp/instances/%2e%2e HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + reg, 400},
		"service of two parts":     {"PUT /v1/services/_math._tcp%2finstances%2fb/instances/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + reg, 400},
		"wide letters in the id":   {"PUT /v1/services/_math._tcp/instances/%ef%bd%81 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + reg, 400},
		"an expectation":           {head + "Expect: a-miracle\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + reg, 417},
		"another version":          {"PUT " + a1 + " HTTP/3.0\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n" + reg, 505},
		"no HTTP":                  {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100) + "\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			fake(t, nil, func(t *testing.T, h *hook) {
				before := h.registry.Revision()
				answers := h.raw(t, c.octets)
				switch {
				case len(answers) != 1:
					t.Errorf("%d answers: %+v", len(answers), answers)
				case answers[0].status != c.status:
					t.Errorf("%d %s, want %d", answers[0].status, answers[0].body, c.status)
				}
				if h.registry.Revision() != before {
					t.Error("something has changed")
				}
			})
		})
	}
}

// A client that waits for "100 Continue" gets it once its request is let in, and a refusal
// instead of it otherwise.
func TestBodyIsAskedForWhenItIsWanted(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		for path, want := range map[string]string{a1: "HTTP/1.1 100 Continue", "/v1/nothing": "HTTP/1.1 404 Not Found"} {
			c, err := h.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n", path)
			if line, err := bufio.NewReader(c).ReadString('\n'); strings.TrimSpace(line) != want {
				t.Errorf("%s: %q, %v", path, line, err)
			}
			c.Close()
		}
	})
}

// A write with a condition is refused, whatever is registered: it would be made without it.
func TestConditionsOfWritesAreRefused(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		if a := h.do("PUT", a1, `{"port":1}`); a.status != http.StatusCreated {
			t.Fatalf("%d %s", a.status, a.body)
		}
		before := h.registry.Revision()
		for _, n := range requests() {
			if n.method == http.MethodGet {
				continue
			}
			for _, header := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
				a := h.do(n.method, n.path, n.body, header, "*")
				if p := a.problem(t); p.Status != http.StatusBadRequest || p.Field != header || !strings.Contains(p.Detail, "leave it out") {
					t.Errorf("%s %s with %s: %d %s", n.method, n.path, header, a.status, a.body)
				}
			}
		}
		if h.registry.Revision() != before {
			t.Error("something has changed")
		}
	})
}

// A request whose answer is lost is sent again: the second says the same as the first, and
// changes nothing more.
func TestRequestsAreRepeatedWithoutHarm(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		again              int
	}{
		{"PUT", a1, `{"port":2,"incarnation":7}`, 200},
		{"PUT", a1 + "/drain", "", 200},
		{"DELETE", a1 + "/drain", "", 200},
		{"POST", "/v1/renew", `{"instances":["_math._tcp/a1?incarnation=7"]}`, 200},
		{"DELETE", a1 + "?incarnation=7", "", 404},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			fake(t, nil, func(t *testing.T, h *hook) {
				h.do("PUT", a1, `{"port":1,"incarnation":7}`)
				if c.method == http.MethodDelete {
					h.do("PUT", a1+"/drain", "")
				}
				conn, err := h.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", c.method, c.path, len(c.body), c.body)
				var first [1]byte
				if _, err := conn.Read(first[:]); err != nil { // it was executed
					t.Fatal(err)
				}
				conn.Close()
				revision := h.registry.Revision()
				a := h.do(c.method, c.path, c.body)
				if a.status != c.again && !(c.again == 200 && a.status == http.StatusNoContent) {
					t.Errorf("again: %d %s, want %d", a.status, a.body, c.again)
				}
				if h.registry.Revision() != revision {
					t.Error("the second one changed something")
				}
			})
		})
	}
}
