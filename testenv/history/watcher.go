package history

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// position is a revision of a life of the registry.
type position struct {
	Life     string
	Revision uint64
}

// String is the position as the hook writes it.
func (p position) String() string { return fmt.Sprintf("%s-%d", p.Life, p.Revision) }

func parsePosition(id string) (position, error) {
	life, number, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || life == "" {
		return position{}, fmt.Errorf("history: %q is no id of an event", id)
	}
	return position{life, n}, nil
}

// A watcher follows one dnsd, or each in turn.
type watcher struct {
	r       *Recorder
	at      int
	wanders bool
	stream  Stream // of the goroutine of run, until it has ended
	ready   chan struct{}

	mu  sync.Mutex // guards what follows
	pos position   // of the last event
	err error      // why the last connection ended
}

// stretch is how many events a watcher takes from one dnsd before it wanders on.
const stretch = 50

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.connect(ctx)
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
		if w.wanders {
			w.at = (w.at + 1) % len(w.r.cfg.Hooks)
		}
		if errors.Is(err, errOn) {
			continue
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
		}
	}
}

func (w *watcher) position() position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pos
}

func (w *watcher) problem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watcher) reached(p position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pos = p
}

var (
	errOn   = errors.New("history: the watcher wanders on")
	errGone = errors.New("history: it has to begin again") // 410
)

// connect watches over one connection: it goes on where it was, or else begins again.
func (w *watcher) connect(ctx context.Context) error {
	if len(w.stream.Parts) > 0 {
		pos := w.position()
		err := w.follow(ctx, Part{At: w.at, Life: pos.Life, Since: pos.Revision})
		if !errors.Is(err, errGone) {
			return err
		}
	}
	ask, cancel := context.WithTimeout(ctx, w.r.cfg.Timeout)
	l, err := w.r.list(ask, w.at)
	cancel()
	if err != nil {
		return err
	}
	return w.follow(ctx, Part{At: w.at, Life: l.Life, Since: l.Revision, Whole: true, Listed: l.Listed, ListedAt: l.ListedAt})
}

// follow reads a stream until it ends.
func (w *watcher) follow(ctx context.Context, p Part) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.r.cfg.Hooks[w.at]+"/v1/watch?since="+position{p.Life, p.Since}.String(), nil)
	if err != nil {
		return err
	}
	resp, err := w.r.long.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		if resp.StatusCode == http.StatusGone {
			return errGone
		}
		return fmt.Errorf("history: watch at dnsd %d: %s: %s", w.at, resp.Status, text)
	}
	w.stream.Parts = append(w.stream.Parts, p)
	at := &w.stream.Parts[len(w.stream.Parts)-1]
	w.reached(position{p.Life, p.Since})
	if len(w.stream.Parts) == 1 {
		close(w.ready)
	}
	err = w.read(resp.Body, at)
	at.Ended = err.Error()
	return err
}

// read takes the events.
func (w *watcher) read(body io.Reader, p *Part) error {
	lines := bufio.NewScanner(body)
	var id, kind string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			if kind == "end" {
				return fmt.Errorf("history: the stream ended: %s", value)
			}
			e, err := event(id, kind, value)
			if err != nil {
				return err
			}
			e.Time = w.r.Now()
			p.Events = append(p.Events, e)
			w.reached(position{e.Life, e.Revision})
			if w.wanders && len(p.Events) == stretch {
				return errOn
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}

// event reads one event.
func event(id, kind, data string) (Event, error) {
	pos, err := parsePosition(id)
	if err != nil {
		return Event{}, err
	}
	var e register.Event
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return Event{}, err
	}
	if e.Type != kind || e.Revision != pos.Revision || kind != register.EventPut && kind != register.EventDelete {
		return Event{}, fmt.Errorf("history: event %s with id %s has the data %s", kind, id, data)
	}
	return Event{
		Life: pos.Life, Revision: pos.Revision, Service: e.Service, ID: e.Instance.ID, Deleted: kind == register.EventDelete,
		Instance: instance(e.Instance), State: string(e.Instance.State), Data: data,
	}, nil
}

// listing is the state of a dnsd. The clients' service may be newer than the rest.
type listing struct {
	position
	Listed   []Listed
	ListedAt uint64
}

// list asks a hook for everything.
func (r *Recorder) list(ctx context.Context, at int) (listing, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.Hooks[at]+"/v1/services", nil)
	if err != nil {
		return listing{}, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return listing{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return listing{}, fmt.Errorf("history: list at dnsd %d: %s: %s", at, resp.Status, text)
	}
	var s register.Services
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return listing{}, err
	}
	l := listing{position: position{s.Life, s.Revision}, ListedAt: s.Revision}
	if i := slices.IndexFunc(s.Services, func(v register.Service) bool { return v.Service == r.cfg.Service }); i >= 0 {
		l.Listed, l.ListedAt = listed(s.Services[i]), max(s.Revision, s.Services[i].Revision)
	}
	return l, nil
}

// Tests: recorder_test.go.
