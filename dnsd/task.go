package dnsd

import (
	"context"
	"fmt"
)

// A task is one running part of the server: a socket's loop, a registry's clock.
type task struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // why it ended by itself; set before done is closed
}

// start runs f until the task is stopped. If f ends by itself with an error, the
// error goes to failed, which must have room or a reader.
func start(name string, f func(context.Context) error, failed chan<- error) *task {
	t := launch(func(ctx context.Context) error {
		if err := f(ctx); err != nil {
			return fmt.Errorf("dnsd: %s: %w", name, err)
		}
		return nil
	})
	t.report(failed)
	return t
}

// launch runs f until the task is stopped.
func launch(f func(context.Context) error) *task {
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		if err := f(ctx); ctx.Err() == nil {
			t.err = err
		}
	}()
	return t
}

// report sends the error of t to failed when t ends by itself.
func (t *task) report(failed chan<- error) {
	go func() {
		<-t.done
		if t.err == nil {
			return
		}
		select {
		case failed <- t.err:
		default: // an earlier failure ends the server already
		}
	}()
}

// stop ends the task and waits for it. A nil task has stopped.
func (t *task) stop() {
	if t != nil {
		t.cancel()
		<-t.done
	}
}

// Tests: server_test.go, reload_test.go.
