package dnsd

import (
	"context"
	"fmt"
)

// A task is one running part of the server: a socket's loop, a registry's clock.
type task struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs f until the task is stopped. If f ends by itself with an error, the
// error goes to failed, which must have room or a reader.
func start(name string, f func(context.Context) error, failed chan<- error) *task {
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		select {
		case failed <- fmt.Errorf("dnsd: %s: %w", name, err):
		default: // an earlier failure ends the server already
		}
	}()
	return t
}

// stop ends the task and waits for it. A nil task has stopped.
func (t *task) stop() {
	if t != nil {
		t.cancel()
		<-t.done
	}
}

// Tests: server_test.go, reload_test.go.
