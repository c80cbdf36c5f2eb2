package rpcclient

import (
	"errors"
	"runtime"
	"testing"
)

func TestShutdownWaitsForCallsAndTakesNoMore(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	call := c.Go(t.Context(), "Arith.Block", &Args{A: 5}, new(int), nil)
	ended := make(chan error, 1)
	go func() { ended <- c.Shutdown(t.Context()) }()
	for !c.closing.Load() {
		runtime.Gosched()
	}
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("call while shutting down: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatal("Shutdown did not wait", err)
	default:
	}
	close(s.arith.block)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if <-call.Done; call.Error != nil || *call.Reply.(*int) != 5 {
		t.Error(call.Error)
	}
}

func TestCloseAbortsCalls(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	call := c.Go(t.Context(), "Arith.Block", &Args{A: 5}, new(int), nil)
	<-s.arith.entered
	c.Close()
	<-call.Done
	var e *Error
	if !errors.Is(call.Error, ErrClosed) || !errors.As(call.Error, &e) || e.Executed != ExecutedMaybe {
		t.Error(call.Error)
	}
}
