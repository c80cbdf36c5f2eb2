package register

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"
)

// errCannotHold: the other side does not know holds, whatever the reason.
var errCannotHold = errors.New("the hook cannot hold a registration")

// hold is one held registration: a request whose answer does not end.
type hold struct {
	base   string // the hook that holds
	began  time.Time
	spoke  bool          // a line came; owned by the reader of beats
	beats  chan struct{} // something came: the lease was renewed
	ended  chan error    // why it ended, once
	cancel context.CancelFunc
}

// openHold starts holding. It does not block; what happens comes by channel.
func openHold(ctx context.Context, c *client, path string) *hold {
	ctx, cancel := context.WithCancel(ctx)
	h := &hold{
		base:   c.base(),
		began:  time.Now(),
		beats:  make(chan struct{}, 1),
		ended:  make(chan error, 1),
		cancel: cancel,
	}
	go func() { h.ended <- h.run(ctx, c, path) }()
	return h
}

func (h *hold) run(ctx context.Context, c *client, path string) error {
	defer h.cancel()
	req, err := c.request(ctx, http.MethodPost, h.base, path, nil)
	if err != nil {
		return err
	}
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
	buf := make([]byte, 512) // what the lines say is of no interest, only that they come
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			select {
			case h.beats <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return err
		}
	}
}

// cannotHold tells a hook or proxy that does not know the request from one that
// does not know the instance, and from one that is broken now.
func cannotHold(err error) bool {
	a, ok := errors.AsType[*answer](err)
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
