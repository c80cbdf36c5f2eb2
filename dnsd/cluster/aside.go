package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errAside: the move before has not ended.
var errAside = errors.New("another server is about to lead")

// StepAside implements [kv.Aside]. Etcd chooses the server that it has been connected to
// for the longest time.
func (e *embedded) StepAside(ctx context.Context) error {
	if e.why() != nil || !e.leads() {
		return nil
	}
	if !e.moving.TryLock() {
		return errAside
	}
	moved := make(chan error, 1)
	go func() {
		defer e.moving.Unlock()
		moved <- e.etcd.Server.TryTransferLeadershipOnShutdown() // it has a bound of its own
	}()
	select {
	case err := <-moved:
		if err != nil {
			return fmt.Errorf("etcd: let another server lead: %w", err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// handOver lets another server lead before a stop, if one can.
func (e *embedded) handOver() {
	ctx, cancel := context.WithTimeout(context.Background(), handOverTime)
	defer cancel()
	again := time.NewTicker(handOverTime / 100)
	defer again.Stop()
	err := e.StepAside(ctx)
	for err == errAside { // the writer has asked for the same a moment before
		select {
		case <-again.C:
			err = e.StepAside(ctx)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		e.log.Debug("etcd: no other server leads yet", "error", err)
	}
}

// leads says whether the server in this process leads the others.
func (e *embedded) leads() bool {
	s := e.etcd.Server
	return s.Lead() == uint64(s.MemberID())
}

// Tests: aside_test.go.
