// Package child runs another program: signals are passed on to it, and its end has the
// exit status that a shell would report.
package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// CannotStart is the exit status of a program that cannot be started, as in a shell.
const CannotStart = 127

// Child is a program that runs.
type Child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed after status is set
	// status is the exit status; of a program that a signal ended, 128 and its number.
	status int
}

// Start starts a program with these streams.
func Start(argv []string, in io.Reader, out, errs io.Writer) (*Child, error) {
	c := &Child{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = in, out, errs
	if err := c.cmd.Start(); err != nil {
		var e *exec.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	go func() {
		c.status = status(c.cmd.Wait(), c.cmd.ProcessState)
		close(c.ended)
	}()
	return c, nil
}

// status is the exit status after Wait has returned err.
func status(err error, s *os.ProcessState) int {
	switch {
	case s == nil: // Wait failed
		return 1
	case s.ExitCode() >= 0 && (err == nil || !s.Success()):
		return s.ExitCode()
	case s.ExitCode() == 0: // the program ended well, but its output could not be copied
		return 1
	}
	return 128 + signalOf(s)
}

// Ended is closed when the program has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Status waits for the end, and returns the exit status.
func (c *Child) Status() int {
	<-c.ended
	return c.status
}

// Signal passes a signal on. A program that has ended gets none.
func (c *Child) Signal(s os.Signal) error {
	err := c.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop asks the program to end, and ends it when ctx ends.
func (c *Child) Stop(ctx context.Context) int {
	if err := c.Signal(Terminate); err != nil {
		c.cmd.Process.Kill()
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		c.cmd.Process.Kill()
	}
	return c.Status()
}

// Patience is how long Stop is usually given.
const Patience = 5 * time.Second
