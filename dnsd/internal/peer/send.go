package peer

import (
	"context"
	"fmt"
	"net/http"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// send makes one request of a batch, and returns an outcome for each call.
func (l *lane) send(to Target, changed <-chan struct{}, batch []*call) []outcome {
	ctx, cancel := context.WithCancelCause(l.w.reach)
	defer cancel(nil)
	ctx, end := context.WithTimeoutCause(ctx, l.answer, errNoAnswer)
	defer end()
	go l.w.follow(ctx, cancel, to, changed)

	lines := make([][]byte, len(batch))
	of := make([]*operation, len(batch))
	for i, c := range batch {
		lines[i], of[i] = c.line, &c.operation
	}
	outcomes := make([]outcome, len(batch))
	fail := func(kind, why error) []outcome {
		for i := range outcomes {
			outcomes[i].err = fmt.Errorf("%w: member %s at %s: %v", kind, to.Name, to.Address, why)
		}
		return outcomes
	}
	status, answer, sent, err := l.w.client.do(ctx, to, http.MethodPost, pathOperations, appendBatch(make([]byte, 0, size(lines)), lines), maxAnswer)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	switch {
	case err != nil && !sent:
		return fail(registry.ErrNotWriter, err)
	case err != nil:
		return fail(registry.ErrUncertain, err)
	case status != http.StatusOK:
		reason, err := refusalOf(status, answer)
		if err != nil {
			return fail(registry.ErrUncertain, err)
		}
		for i := range outcomes {
			outcomes[i].err = reason
		}
		return outcomes
	}
	results, errs, err := readResults(answer, of)
	if err != nil {
		return fail(registry.ErrUncertain, err)
	}
	l.w.forwarded.Add(uint64(len(batch)))
	for i := range outcomes {
		outcomes[i].result = results[i]
		if errs[i] != nil {
			outcomes[i] = outcome{result: result{err: fmt.Errorf("%w: member %s: %v", registry.ErrUncertain, to.Name, errs[i])}}
		}
	}
	return outcomes
}

// follow ends a request when another member has become the writer, because then its answer
// may never come. If no member is the writer, it may.
func (w *Writes) follow(ctx context.Context, cancel context.CancelCauseFunc, to Target, changed <-chan struct{}) {
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		var now Target
		var err error
		now, changed, err = w.members.Writer()
		switch {
		case w.registry.Leads():
			cancel(fmt.Errorf("this member became the writer"))
			return
		case err == nil && now.Fingerprint != to.Fingerprint:
			cancel(fmt.Errorf("member %s became the writer", now.Name))
			return
		}
	}
}

// Tests: lane_test.go, writes_test.go.
