//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stamped is a socket that can tell when the kernel received what is read from it.
type stamped struct {
	*net.TCPConn
	raw  syscall.RawConn
	on   atomic.Bool
	last atomic.Int64 // when the last segment came, in ns since 1970
}

func newStamped(c net.Conn) (*stamped, error) {
	t := c.(*net.TCPConn)
	raw, err := t.SyscallConn()
	return &stamped{TCPConn: t, raw: raw}, err
}

// stamp lets the kernel note the times. Each Read costs more from then on.
func (s *stamped) stamp() error {
	var failed error
	err := s.raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	s.on.Store(true)
	return errors.Join(err, failed)
}

func (s *stamped) Read(p []byte) (n int, err error) {
	if !s.on.Load() {
		return s.TCPConn.Read(p)
	}
	var beside [64]byte
	var size int
	if waited := s.raw.Read(func(fd uintptr) bool {
		n, size, _, _, err = unix.Recvmsg(int(fd), p, beside[:], 0)
		return !errors.Is(err, unix.EAGAIN)
	}); waited != nil {
		return 0, waited
	}
	if err != nil {
		return 0, err
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	all, err := unix.ParseSocketControlMessage(beside[:size])
	for _, m := range all {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			at := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			s.last.Store(at.Nano())
		}
	}
	return n, err
}

// pause lets a reader that has had its set wait until the crowd reads again.
func (c *crowd) pause() {
	if gate := c.gate.Load(); gate != nil {
		<-*gate
	}
}

// arrivals measures changes while no client reads: until the last one has it in its socket,
// by the kernel's clock. When dnsd does nothing more, all of them read.
func (c *crowd) arrivals(ctx context.Context, s *server, changes int, change func(i int) error) (took []time.Duration, err error) {
	for _, one := range c.sockets {
		if err := one.stamp(); err != nil {
			return nil, err
		}
	}
	gate := make(chan struct{})
	c.gate.Store(&gate)
	defer func() {
		c.gate.Store(nil)
		close(gate)
	}()
	if _, err := c.hear(ctx, func() error { return change(0) }); err != nil { // they wait at the gate then
		return nil, err
	}
	for i := range changes {
		c.next.Add(int64(len(c.sockets)))
		begin := time.Now()
		if err := change(i + 1); err != nil {
			return nil, err
		}
		if err := s.rests(ctx); err != nil {
			return nil, err
		}
		next := make(chan struct{})
		c.gate.Store(&next)
		close(gate)
		gate = next
		if err := c.wait(ctx); err != nil {
			return nil, err
		}
		last := int64(0)
		for _, one := range c.sockets {
			last = max(last, one.last.Load())
		}
		d := time.Duration(last - begin.UnixNano())
		if d <= 0 {
			return nil, errors.New("the kernel has not told when the last segment came")
		}
		took = append(took, d)
	}
	return took, nil
}

// rests returns when the process has used nearly no time of a processor for a while.
func (p *process) rests(ctx context.Context) error {
	const (
		look  = 20 * time.Millisecond
		quiet = time.Millisecond
	)
	before, err := p.spent()
	for still := 0; err == nil && still < 3; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		var now time.Duration
		if now, err = p.spent(); now-before < quiet {
			still++
		} else {
			still = 0
		}
		before = now
	}
	if err != nil {
		return fmt.Errorf("whether dnsd rests: %w", err)
	}
	return nil
}
