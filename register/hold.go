package register

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// errCannotHold means that the hook, or a proxy before it, cannot hold a registration.
var errCannotHold = errors.New("the hook cannot hold a registration")

// hold is one held registration: a request whose body and answer stay open.
type hold struct {
	base    string // the hook that holds
	began   time.Time
	spoke   bool          // a line was received; owned by the reader of beats
	works   bool          // a heartbeat was answered; owned by the reader of beats
	pace    time.Duration // of the heart; owned by the reader of beats
	heart   *heart
	beats   chan struct{} // the lease was renewed
	waiting chan struct{} // the hook finds no writer for a renewal, and tries again
	changed chan struct{} // the hook publishes the instance in another state
	ended   chan error    // why the hold ended; sent once
	cancel  context.CancelFunc
}

// openHold starts a hold and returns at once. Its channels report what happens.
func openHold(ctx context.Context, c *client, path string, pace time.Duration, jitter func(time.Duration) time.Duration) *hold {
	ctx, cancel := context.WithCancel(ctx)
	h := &hold{
		base:    c.base(),
		began:   time.Now(),
		pace:    pace,
		heart:   newHeart(pace, jitter),
		beats:   make(chan struct{}, 1),
		waiting: make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		ended:   make(chan error, 1),
		cancel:  cancel,
	}
	go func() { h.ended <- h.run(ctx, c, path) }()
	return h
}

func (h *hold) run(ctx context.Context, c *client, path string) error {
	defer h.cancel()
	// net/http waits for the end of the body before it ends a cancelled request.
	defer context.AfterFunc(ctx, func() { h.heart.Close() })()
	defer h.heart.Close()
	req, err := c.request(ctx, http.MethodPost, h.base, path, nil)
	if err != nil {
		return err
	}
	req.Body, req.ContentLength = h.heart, -1
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := problemOf(resp)
		if cannotHold(err) {
			return fmt.Errorf("%w: %w", errCannotHold, err)
		}
		return err
	}
	if mt, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mt != "text/event-stream" {
		return fmt.Errorf("%w: it answered with %.40q", errCannotHold, mt)
	}
	return h.read(resp.Body)
}

// read reads the answer. A comment is a renewal. The event "changed" means that the hook
// publishes the instance in another state, and "waiting" that a renewal is not done yet,
// because the dnsd that share the registry have no writer at the moment.
func (h *hold) read(body io.Reader) error {
	in := bufio.NewReaderSize(body, 512)
	start := true // at the start of a line; a line may be longer than the buffer
	for {
		line, err := in.ReadSlice('\n')
		if start && len(line) > 0 {
			switch {
			case line[0] == ':':
				notify(h.beats)
			case strings.TrimSpace(string(line)) == "event: changed":
				notify(h.changed)
			case strings.TrimSpace(string(line)) == "event: waiting":
				notify(h.waiting)
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		start = err == nil
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// follow sets the pace of the heart to that of the last answer.
func (h *hold) follow(pace time.Duration) {
	if h.pace != pace {
		h.pace = pace
		h.heart.setPace(pace)
	}
}

// cannotHold reports whether the hook or proxy does not know the request, as opposed
// to not knowing the instance or failing now.
func cannotHold(err error) bool {
	a, ok := asType[*answer](err)
	if !ok {
		return false
	}
	switch a.Status {
	case http.StatusNotFound:
		return !a.genuine
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return false
	case http.StatusNotImplemented:
		return true
	}
	return a.Status < 500
}

// close ends the request and waits for its goroutine.
func (h *hold) close() {
	if h == nil {
		return
	}
	h.cancel()
	<-h.ended
}
