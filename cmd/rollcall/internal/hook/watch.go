package hook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// The events of a watch, beside register.EventPut and register.EventDelete.
const (
	EventSnapshot = "snapshot" // an instance that was there at the beginning
	EventSync     = "sync"     // all of the present was sent
)

const (
	// silence is how long a watch may say nothing: dnsd writes a comment every 15 s.
	silence = 45 * time.Second
	// minPause and maxPause bound the pause before a watch is opened again. It doubles
	// with each failure in a row, and is jittered.
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
	// maxEvent bounds a line of a watch. An instance has 2 KB at most.
	maxEvent = 64 << 10
)

// Watcher follows the changes of a registry.
type Watcher struct {
	Client  *Client
	Service string // empty: all
	Since   string // the id of the last event that is known; empty: from the present on
	// Event gets each event. An error of it ends the watch.
	Event func(id string, e register.Event) error
	// Again is told why a connection ended that is about to be opened again.
	Again func(err error)
}

// errAgain is the end of a stream that may be opened again at once.
var errAgain = errors.New("the stream ended")

// Run follows until ctx ends, which is no error, or until the hook refuses. A connection
// that breaks is opened again, at the next hook, where the last event ended.
func (w *Watcher) Run(ctx context.Context) error {
	pause, hook := minPause, 0
	for ctx.Err() == nil {
		moved, err := w.follow(ctx, w.Client.bases[hook%len(w.Client.bases)])
		var p *register.Problem
		var stop *stopError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &stop):
			return stop.err
		case errors.As(err, &p) && p.Status == http.StatusGone:
			w.Since = "" // the history does not reach back: the present again
		case errors.As(err, &p) && p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests:
			return err
		}
		if moved {
			pause = minPause
		} else {
			hook++
		}
		w.Again(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, maxPause)
	}
	return nil
}

// stopError is an error of Watcher.Event: no other hook helps.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

// follow reads one stream to its end; moved: it brought something.
func (w *Watcher) follow(ctx context.Context, base string) (moved bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(w.Client.timeout, cancel) // for the head of the answer
	defer late.Stop()
	q := url.Values{}
	if w.Service != "" {
		q.Set("service", w.Service)
	}
	if w.Since != "" {
		q.Set("since", w.Since)
	}
	path := "/v1/watch"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	resp, err := w.Client.send(ctx, http.MethodGet, base, path, nil, "text/event-stream")
	if err != nil {
		if ctx.Err() != nil {
			err = context.DeadlineExceeded
		}
		return false, w.Client.explain(base, err)
	}
	defer resp.Body.Close()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return false, &stopError{fmt.Errorf("hook %s: %w It answers with %s", base, ErrFormat, kind)}
	}
	late.Reset(silence)
	moved, err = w.read(resp.Body, func() { late.Reset(silence) })
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errAgain
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("nothing came for %v", silence)
	}
	var stop *stopError
	if errors.As(err, &stop) {
		return moved, err
	}
	return moved, fmt.Errorf("hook %s: %w", base, err)
}

// read reads server-sent events until the stream ends. It calls heard at each line.
func (w *Watcher) read(r io.Reader, heard func()) (moved bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxEvent)
	var id, kind string
	var data []byte
	for lines.Scan() {
		heard()
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			id = string(value)
		case "event":
			kind = string(value)
		case "data":
			data = append(data, value...)
			if len(data) > maxEvent {
				return moved, &stopError{fmt.Errorf("an event has more than %d octets; %w", maxEvent, ErrFormat)}
			}
		}
		if len(lines.Bytes()) > 0 {
			continue
		}
		if len(data) > 0 {
			if err := w.event(id, kind, data); err != nil {
				return moved, err
			}
			moved = true
		}
		id, kind, data = "", "", data[:0]
	}
	if err := lines.Err(); err != nil && errors.Is(err, bufio.ErrTooLong) {
		return moved, &stopError{fmt.Errorf("a line has more than %d octets; %w", maxEvent, ErrFormat)}
	}
	return moved, lines.Err()
}

// event decodes one event and hands it on.
func (w *Watcher) event(id, kind string, data []byte) error {
	if kind == "end" {
		var end struct{ Reason, Detail string }
		if err := json.Unmarshal(data, &end); err != nil {
			return &stopError{fmt.Errorf("%w (%w)", ErrFormat, err)}
		}
		if end.Reason == "compacted" {
			w.Since = ""
		}
		return fmt.Errorf("%s: %s", end.Reason, strings.TrimSuffix(end.Detail, "."))
	}
	var e register.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return &stopError{fmt.Errorf("%w (%w)", ErrFormat, err)}
	}
	if err := w.Event(id, e); err != nil {
		return &stopError{err}
	}
	if id != "" {
		w.Since = id
	}
	return nil
}
