package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArg { // the test's servers are this binary
		main()
		return
	}
	os.Exit(m.Run())
}

func TestDemoLosesNoCall(t *testing.T) {
	o, err := parse([]string{"-duration", "3s", "-kill-every", "1s", "-servers", "2", "-json"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Calls == 0 || s.Failed != 0 || s.Kills == 0 {
		t.Errorf("got %+v", s)
	}
	var text bytes.Buffer
	s.print(&text, true)
	var fields map[string]any
	if err := json.Unmarshal(text.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"calls", "failed", "retried", "kills", "per_instance"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the summary lacks %q: %s", name, text.String())
		}
	}
}

func TestDemoEndsEarlyWithASummary(t *testing.T) {
	o, err := parse([]string{"-servers", "2", "-kill-every", "0", "-rate", "1000"})
	if err != nil {
		t.Fatal(err)
	}
	var s *summary
	for runs := time.Second; runs < time.Minute; runs *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), runs) // Ctrl-C
		s, err = run(ctx, o)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
		// So slow is the machine that not all had started: once more, with more time.
	}
	if err != nil || s.Failed != 0 || s.Kills != 0 {
		t.Fatalf("got %+v, %v", s, err)
	}
	var text bytes.Buffer
	s.print(&text, false)
	if !strings.Contains(text.String(), "no server was killed") {
		t.Errorf("got %q", text.String())
	}
}

// TestCorefileOfSeveralIsGood: what is written for each of several dnsd is read, and only
// the light dnsd of this test has no store for it.
func TestCorefileOfSeveralIsGood(t *testing.T) {
	text := fmt.Sprintf(corefile, "5301", "127.0.0.1:8061", "a", "        peer a http://127.0.0.1:2381\n", "127.0.0.1:8071", session, ttl, lease)
	c, err := dnsd.ParseCorefile("Corefile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Zones[0].Store.Shared; s == nil || s.Name != "a" || len(s.Peers) != 1 || s.Listen != "127.0.0.1:8071" || s.Session != session {
		t.Errorf("got %+v", s)
	}
}

func TestSummaryOfSeveral(t *testing.T) {
	var text bytes.Buffer
	(&summary{KillToWrite: []killed{{ID: "b", MS: 126.4}, {ID: "c", MS: 80}}}).print(&text, false)
	if want := "2 kills of the dnsd that wrote; time until another one took a registration: b 126 ms c 80 ms\n"; !strings.Contains(text.String(), want) {
		t.Errorf("got %q", text.String())
	}
}

func TestFlags(t *testing.T) {
	for _, args := range []string{"-servers 1", "-rate 0", "-duration 0s", "-policy best", "-kill-every -1s", "-dnsd 2", "-dnsd 7", "more"} {
		if _, err := parse(strings.Fields(args)); err == nil || errors.Is(err, flag.ErrHelp) {
			t.Errorf("demo %s: got %v", args, err)
		}
	}
}

func TestTableIsDrawnOverItself(t *testing.T) {
	var text bytes.Buffer
	s := &table{w: &text, began: time.Now()}
	rows := []row{{id: "a1", addr: "127.0.0.1:1", state: "up", share: 1}, {id: "a2", state: "dead"}}
	s.event("kill -9 of a2")
	s.frame(rows, "dnsd a writer at 7", totals{calls: 10})
	height := strings.Count(text.String(), "\n")
	text.Reset()
	s.frame(rows, "dnsd a writer at 7", totals{calls: 20})
	if want := "\x1b[" + string(rune('0'+height)) + "A"; !strings.HasPrefix(text.String(), want) {
		t.Errorf("the second frame does not go up %d lines: %q", height, text.String()[:20])
	}
	for line := range strings.Lines(regexp.MustCompile(`\x1b\[[0-9]*[A-Za-z]`).ReplaceAllString(text.String(), "")) {
		if len(line) > defaultW {
			t.Errorf("a line of %d columns wraps: %q", len(line)-1, line)
		}
	}
	if !strings.Contains(text.String(), "kill -9 of a2") || !strings.Contains(text.String(), "20 calls") || !strings.Contains(text.String(), "dnsd a writer at 7") {
		t.Errorf("got %q", text.String())
	}
}
