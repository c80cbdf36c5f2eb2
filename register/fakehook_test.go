package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fakeHook is a hook with a small registry and with faults. It uses package time, so
// it runs on the clock of a synctest bubble.
type fakeHook struct {
	mu      sync.Mutex
	fault   func(w http.ResponseWriter, r *http.Request) bool // true: answered
	entries map[string]*fakeEntry
	holds   map[string]chan struct{} // closed: the hold ends
	changed chan struct{}            // has an element when the hold must send "changed"
	lease   time.Duration
	older   string // what it does with the field drain: "refuses" or "ignores" it
	// Counted for the tests:
	puts, deletes, holdsOpened int
	heartbeats                 int
	putTimes                   []time.Time
	lapses                     []string // leases that ended before they were renewed
	auth                       string
	revision                   uint64
}

type fakeEntry struct {
	reg     Registration
	expires time.Time
	drained bool
}

func newFakeHook() *fakeHook {
	return &fakeHook{entries: map[string]*fakeEntry{}, holds: map[string]chan struct{}{}, changed: make(chan struct{}, 1), lease: 15 * time.Second}
}

func (h *fakeHook) setFault(f func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = f
}

// forget is a restart that lost all registrations.
func (h *fakeHook) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.entries)
	for _, c := range h.holds {
		close(c)
	}
	clear(h.holds)
}

// put registers as another process would.
func (h *fakeHook) put(id string, reg Registration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries[id] = &fakeEntry{reg: reg, expires: time.Now().Add(time.Hour)}
	if c := h.holds[id]; c != nil {
		close(c)
		delete(h.holds, id)
	}
}

// drain drains an instance as an operator does, or ends the drain.
func (h *fakeHook) drain(id string, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries[id].drained = on
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *fakeHook) entry(id string) (Registration, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entries[id]
	if e == nil || time.Now().After(e.expires) {
		return Registration{}, false
	}
	return e.reg, true
}

func (h *fakeHook) counts() (puts, deletes, holds int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.puts, h.deletes, h.holdsOpened
}

func fail(w http.ResponseWriter, status int, field, detail string) {
	problem(w, Problem{Status: status, Field: field, Detail: detail})
}

func problem(w http.ResponseWriter, p Problem) {
	p.Title = http.StatusText(p.Status)
	w.Header().Set("Content-Type", ProblemType)
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func (h *fakeHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	fault := h.fault
	h.auth = r.Header.Get("Authorization")
	h.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/services/_math._tcp/instances/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	id, action, _ := strings.Cut(rest, "/")
	inc, _ := strconv.ParseUint(r.URL.Query().Get("incarnation"), 10, 64)
	h.mu.Lock()
	e := h.entries[id]
	if e != nil && time.Now().After(e.expires) {
		h.lapses = append(h.lapses, fmt.Sprintf("%s ran out at %v", id, e.expires))
		delete(h.entries, id)
		e = nil
	}
	switch {
	case r.Method == http.MethodPut && action == "":
		h.puts++
		h.putTimes = append(h.putTimes, time.Now())
		var reg Registration
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&reg); err != nil {
			h.mu.Unlock()
			fail(w, 400, "", err.Error())
			return
		}
		if reg.Weight != nil && *reg.Weight == 666 {
			h.mu.Unlock()
			fail(w, 400, "weight", "give another")
			return
		}
		if reg.Drain && h.older == "refuses" {
			h.mu.Unlock()
			fail(w, 400, "drain", `unknown field "drain"`)
			return
		}
		if e != nil && e.reg.Incarnation > reg.Incarnation {
			live := e.reg.Incarnation
			h.mu.Unlock()
			problem(w, Problem{Status: 409, Field: "incarnation", Detail: "a newer one lives", Incarnation: live})
			return
		}
		h.revision++
		drained := e != nil && e.drained
		h.entries[id] = &fakeEntry{reg: reg, expires: time.Now().Add(h.lease), drained: drained}
		pub := Published{ID: id, Port: reg.Port, Lease: Duration(h.lease), Revision: h.revision, State: InstanceUp, RenewAfter: Duration(h.lease / 3)}
		if drained {
			pub.State, pub.DrainedBy = InstanceDrained, []string{DrainedByOperator}
		}
		if reg.Drain && h.older == "" {
			pub.State, pub.DrainedBy = InstanceDrained, append(pub.DrainedBy, DrainedByInstance)
		}
		h.mu.Unlock()
		json.NewEncoder(w).Encode(pub)
	case r.Method == http.MethodDelete && action == "":
		h.deletes++
		switch {
		case e == nil:
			h.mu.Unlock()
			fail(w, 404, "", "not registered")
		case e.reg.Incarnation > inc:
			h.mu.Unlock()
			fail(w, 409, "incarnation", "a newer one lives")
		default:
			delete(h.entries, id)
			if c := h.holds[id]; c != nil {
				close(c)
				delete(h.holds, id)
			}
			h.mu.Unlock()
			w.WriteHeader(http.StatusNoContent)
		}
	case r.Method == http.MethodPost && action == "hold":
		h.holdsOpened++
		if e == nil {
			h.mu.Unlock()
			fail(w, 404, "", "not registered")
			return
		}
		end := make(chan struct{})
		h.holds[id] = end
		h.mu.Unlock()
		_ = http.NewResponseController(w).EnableFullDuplex() // not every writer supports it
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, ": held\n\n")
		w.(http.Flusher).Flush()
		beats := make(chan struct{})
		go func() {
			for b := make([]byte, 1); ; {
				if _, err := r.Body.Read(b); err != nil {
					return
				}
				select {
				case beats <- struct{}{}:
				case <-r.Context().Done():
					return
				}
			}
		}()
		for first := true; ; first = false {
			select {
			case <-beats:
				if first {
					continue // the PUT renewed the lease just now
				}
				h.mu.Lock()
				h.heartbeats++
				if e := h.entries[id]; e != nil && e.reg.Incarnation == inc {
					if time.Now().After(e.expires) {
						h.lapses = append(h.lapses, fmt.Sprintf("%s ran out at %v", id, e.expires))
					}
					e.expires = time.Now().Add(h.lease)
				}
				h.mu.Unlock()
				io.WriteString(w, ": renewed\n\n")
				w.(http.Flusher).Flush()
			case <-h.changed:
				io.WriteString(w, "id: 7\nevent: changed\ndata: {}\n\n")
				w.(http.Flusher).Flush()
			case <-end:
				return
			case <-r.Context().Done():
				return
			}
		}
	default:
		h.mu.Unlock()
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// memory is an http.RoundTripper to handlers by host name. It has no sockets, so that
// synctest sees when all goroutines wait.
type memory map[string]http.Handler

var memoryMu sync.Mutex // guards every memory

// set answers for a host from now on.
func (m memory) set(host string, h http.Handler) {
	memoryMu.Lock()
	defer memoryMu.Unlock()
	m[host] = h
}

func (m memory) RoundTrip(req *http.Request) (*http.Response, error) {
	memoryMu.Lock()
	h, ok := m[req.URL.Host]
	memoryMu.Unlock()
	if !ok || h == nil {
		return nil, errRefused
	}
	ctx, cancel := context.WithCancel(req.Context())
	pr, pw := io.Pipe()
	w := &memoryWriter{header: http.Header{}, body: pw, ready: make(chan struct{})}
	go func() {
		defer cancel()
		r := req.Clone(ctx)
		if r.Body == nil {
			r.Body = http.NoBody
		}
		h.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		pw.Close()
	}()
	stop := context.AfterFunc(req.Context(), func() { pr.CloseWithError(context.Cause(req.Context())) })
	select {
	case <-w.ready:
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
	return &http.Response{
		StatusCode: w.status, Header: w.header, Request: req, ProtoMajor: 1, ProtoMinor: 1,
		Body: &memoryBody{PipeReader: pr, cancel: func() { stop(); cancel() }},
	}, nil
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

type memoryBody struct {
	*io.PipeReader
	cancel func()
}

func (b *memoryBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

type memoryWriter struct {
	header http.Header
	status int
	once   sync.Once
	ready  chan struct{}
	body   *io.PipeWriter
}

func (w *memoryWriter) Header() http.Header { return w.header }
func (w *memoryWriter) Flush()              {}
func (w *memoryWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.ready)
	})
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
