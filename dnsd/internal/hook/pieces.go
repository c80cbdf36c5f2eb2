package hook

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// piece is how many bytes of a long answer are in memory at one time.
const piece = 32 << 10

// slowest is how many bytes a second the reader of a long answer must read on average,
// so that its memory is free again after a bounded time.
const slowest = 32 << 10

// leaseBytes is the memory of one instance in a view: a pointer and a time.
const leaseBytes = 16

// fenceBytes is the memory of one fence in a list: two strings, a time and an incarnation.
const fenceBytes = 72

// pieces is a long answer that is being sent. The memory of one piece, and of the view
// that it is made from, comes out of the server's budget.
type pieces struct {
	x       *exchange
	out     *bufio.Writer // on a pace
	pace    pace
	release func()
}

// pieces takes memory for a long answer about a service ("": all). The caller must call
// finish.
func (x *exchange) pieces(service string) (*pieces, error) {
	return x.piecesFrom(leaseBytes * x.st.registry.Span(service))
}

// piecesFrom takes memory for a long answer that is made from something of size octets. The
// caller must call finish.
func (x *exchange) piecesFrom(size int) (*pieces, error) {
	release, err := x.memory(piece+size, "watch instead of listing")
	if err != nil {
		return nil, err
	}
	p := &pieces{x: x, release: release, out: x.s.buffers.Get().(*bufio.Writer)}
	p.pace = pace{w: x.w, control: http.NewResponseController(x.w), timeout: x.s.times.write, began: time.Now()}
	p.out.Reset(&p.pace)
	return p, nil
}

// memory takes a part of the memory of all long answers. The caller must call release. cure
// is what a reader can do besides reading faster.
func (x *exchange) memory(size int, cure string) (release func(), err error) {
	// Half of the time that a write may take: the refusal still arrives in time.
	ctx, cancel := context.WithTimeout(x.r.Context(), x.s.times.write/2)
	defer cancel()
	release, ok := x.s.lists.take(ctx, x.who.caller, size)
	if !ok {
		x.s.metrics.refused.WithLabelValues("lists").Inc()
		return nil, refuse(http.StatusServiceUnavailable, "", "too many long answers are being sent: read faster, or %s", cure).retryAfter(time.Second)
	}
	return release, nil
}

// finish gives the memory back. On nil, or a second time, it does nothing.
func (p *pieces) finish() {
	if p == nil || p.out == nil {
		return
	}
	p.out.Reset(nil)
	p.x.s.buffers.Put(p.out)
	p.out = nil
	p.release()
}

// end sends the rest.
func (p *pieces) end() error {
	if p.pace.written == 0 {
		p.x.w.Header().Set("Content-Length", strconv.Itoa(p.out.Buffered()))
	}
	return p.out.Flush()
}

// service adds a service as JSON. Within a list life is empty.
func (p *pieces) service(life string, v registry.View) error {
	head, err := json.Marshal(register.Service{Life: life, Service: v.Service, Revision: v.Revision, Instances: []register.Published{}})
	if err != nil {
		return err
	}
	_, _ = p.out.Write(head[:len(head)-len("]}")]) // a bufio.Writer keeps its first error
	leads := p.x.st.registry.Leads()
	for i, l := range v.Instances {
		one, err := json.Marshal(published(l, leads))
		if err != nil {
			return err
		}
		if i > 0 {
			_ = p.out.WriteByte(',')
		}
		if _, err := p.out.Write(one); err != nil {
			return err
		}
	}
	_, err = p.out.WriteString("]}")
	return err
}

// pace writes as long as the reader reads fast enough.
type pace struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // of one write; also the reader's time before slowest counts
	began   time.Time
	written int64
}

func (p *pace) Write(b []byte) (int, error) {
	deadline := time.Now().Add(p.timeout)
	if all := p.began.Add(p.timeout + time.Duration(p.written/slowest)*time.Second); all.Before(deadline) {
		deadline = all
	}
	_ = p.control.SetWriteDeadline(deadline) // a recorder has none
	n, err := p.w.Write(b)
	p.written += int64(n)
	return n, err
}
