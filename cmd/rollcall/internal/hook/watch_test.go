package hook

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/register"
)

// reader is a Watcher that notes what it is given.
func reader() (*Watcher, *[]string) {
	var seen []string
	return &Watcher{Event: func(id string, e register.Event) error {
		seen = append(seen, id+" "+e.Type+" "+e.Instance.ID)
		return nil
	}}, &seen
}

func TestAStreamIsRead(t *testing.T) {
	for _, tc := range []struct {
		stream, seen, since, err string
	}{
		{"", "", "", ""},
		{"retry: 1000\n\n: comment\n\n", "", "", ""},
		{"event: snapshot\ndata: {\"type\":\"snapshot\",\"instance\":{\"id\":\"a1\"}}\n\n", " snapshot a1", "", ""},
		{"id: x-7\nevent: put\ndata:{\"type\":\"put\",\ndata: \"instance\":{\"id\":\"a1\"}}\n\nid: x-8\n", "x-7 put a1", "x-7", ""},
		{"id: x-7\r\nevent: put\r\ndata: {\"type\":\"put\"}\r\n\r\n", "x-7 put ", "x-7", ""},
		{"event: end\ndata: {\"reason\":\"slow\",\"detail\":\"come again.\"}\n\n", "", "", "slow: come again"},
		{"event: put\ndata: {\n\n", "", "", ErrFormat.Error() + " (unexpected end of JSON input)"},
		{"event: end\ndata: 7\n\n", "", "", ErrFormat.Error()},
		{"data: " + strings.Repeat("x", maxEvent) + "\n\n", "", "", "a line has more than 65536 octets"},
		{strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 70), "", "", "an event has more than 65536 octets"},
	} {
		w, seen := reader()
		heard := 0
		_, err := w.read(strings.NewReader(tc.stream), func() { heard++ })
		text := ""
		if err != nil {
			text = err.Error()
		}
		if strings.Join(*seen, ",") != tc.seen || w.Since != tc.since || !strings.HasPrefix(text, tc.err) || tc.err == "" && err != nil {
			t.Errorf("%.80q: seen %q, since %q, error %v", tc.stream, *seen, w.Since, err)
		}
		if tc.err == "" && heard != strings.Count(tc.stream, "\n") {
			t.Errorf("%.80q: heard %d lines", tc.stream, heard)
		}
	}
}

// TestAWatchWhoseHistoryIsGoneBeginsAgain: the id is worth nothing then.
func TestAWatchWhoseHistoryIsGoneBeginsAgain(t *testing.T) {
	w, _ := reader()
	w.Since = "x-7"
	if _, err := w.read(strings.NewReader("event: end\ndata: {\"reason\":\"compacted\"}\n\n"), func() {}); err == nil || w.Since != "" {
		t.Errorf("since %q, error %v", w.Since, err)
	}
}

func TestAnErrorOfTheReaderEndsTheWatch(t *testing.T) {
	enough := errors.New("enough")
	w := &Watcher{Event: func(string, register.Event) error { return enough }}
	_, err := w.read(strings.NewReader("data: {}\n\n"), func() {})
	var stop *stopError
	if !errors.As(err, &stop) || stop.err != enough {
		t.Errorf("got %v", err)
	}
}

// FuzzStream: whatever a server sends ends in events or in an error.
func FuzzStream(f *testing.F) {
	f.Add("id: x-7\nevent: put\ndata: {\"type\":\"put\"}\n\n")
	f.Add("event: end\ndata: {\"reason\":\"slow\"}\n\n: c\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		w, seen := reader()
		moved, err := w.read(io.LimitReader(strings.NewReader(stream), 1<<20), func() {})
		if moved != (len(*seen) > 0) {
			t.Errorf("moved %v after %d events, error %v", moved, len(*seen), err)
		}
	})
}
