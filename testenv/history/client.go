package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// lease of the clients' instances: none ends during a recording.
const lease = time.Hour

// A client sends one request after another.
type client struct {
	r     *Recorder
	name  int
	rand  *rand.Rand
	at    int // the dnsd that it asks
	wrote int
	ops   []*Op
}

func newClient(r *Recorder, name int) *client {
	return &client{r: r, name: name, at: name % len(r.cfg.Hooks), rand: rand.New(rand.NewPCG(r.cfg.Seed, uint64(name)))}
}

// mix is what clients ask for, of a hundred requests.
var mix = []struct {
	kind  Kind
	share int
}{{Register, 40}, {Renew, 12}, {Deregister, 12}, {Drain, 6}, {Undrain, 6}, {Read, 12}, {List, 4}, {Query, 8}}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		kind := c.draw()
		id := fmt.Sprintf("k%d", c.rand.IntN(c.r.cfg.IDs))
		o := c.ask(kind, id)
		if o.Kind.writes() && o.Outcome == Done && c.rand.IntN(2) == 0 {
			// What it was told must be in the answers of the same dnsd.
			o = c.ask([]Kind{Read, Query}[c.rand.IntN(2)], id)
		}
		pause := c.r.cfg.Pause
		if o.Outcome != Done {
			pause *= 10
			c.at = (c.at + 1) % len(c.r.cfg.Hooks)
		} else if c.rand.IntN(20) == 0 {
			c.at = c.rand.IntN(len(c.r.cfg.Hooks))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (c *client) draw() Kind {
	n := c.rand.IntN(100)
	for _, m := range mix {
		if n -= m.share; n < 0 {
			if m.kind == Query && len(c.r.cfg.DNS) == 0 {
				return Read
			}
			return m.kind
		}
	}
	return Read
}

// ask sends one request and writes it down. It ends with its own timeout, not with the
// recording: a request that is under way is finished.
func (c *client) ask(kind Kind, id string) *Op {
	c.r.turn.RLock()
	defer c.r.turn.RUnlock()
	if kind == Query && len(c.r.cfg.DNS) == 0 {
		kind = Read
	}
	o := &Op{Kind: kind, Client: c.name, At: c.at, ID: id, Life: c.r.life}
	switch kind {
	case Register:
		c.wrote++
		o.Value = fmt.Sprintf("%d-%d", c.name, c.wrote)
	case List:
		o.ID = ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.r.cfg.Timeout)
	defer cancel()
	o.Call = c.r.Now()
	if kind == Query {
		c.r.query(ctx, o)
	} else {
		c.r.request(ctx, o, c.wrote)
	}
	o.Return = c.r.Now()
	c.ops = append(c.ops, o)
	if kind.writes() && o.Outcome == Done {
		c.r.acknowledged(o.At)
	}
	return o
}

// request asks a hook. The number makes registrations differ.
func (r *Recorder) request(ctx context.Context, o *Op, number int) {
	path := "/v1/services/" + r.cfg.Service
	if o.Kind != List {
		path += "/instances/" + o.ID
	}
	method, body := http.MethodGet, any(nil)
	switch o.Kind {
	case Register:
		method = http.MethodPut
		body = register.Registration{
			Port: uint16(1024 + number%60000), Weight: register.Uint16(uint16(number % 60000)),
			Lease: register.Duration(lease), Meta: map[string]string{mark: o.Value},
		}
	case Renew:
		method, path, body = http.MethodPost, "/v1/renew", register.RenewRequest{Instances: []string{r.cfg.Service + "/" + o.ID}}
	case Deregister:
		method = http.MethodDelete
	case Drain:
		method, path = http.MethodPut, path+"/drain"
	case Undrain:
		method, path = http.MethodDelete, path+"/drain"
	}
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body) // these always marshal
	}
	req, err := http.NewRequestWithContext(ctx, method, r.cfg.Hooks[o.At]+path, bytes.NewReader(text))
	if err != nil {
		o.Outcome, o.Cause = Refused, err.Error()
		return
	}
	resp, err := r.http.Do(req)
	if err != nil {
		o.Outcome, o.Cause = failed(o.Kind, err), err.Error()
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil {
		err = o.answered(resp.StatusCode, answer)
	}
	if err != nil {
		o.Outcome, o.Cause = Unknown, err.Error()
	}
}

// failed is the outcome of a request without an answer. One whose connection was not
// made was not sent.
func failed(k Kind, err error) Outcome {
	var op *net.OpError
	if !k.writes() || errors.As(err, &op) && op.Op == "dial" {
		return Refused
	}
	return Unknown
}

// unknownOutcome is in the detail of the hook's 503 for a change that may have been made.
const unknownOutcome = "outcome is unknown"

// answered reads the answer of a hook.
func (o *Op) answered(status int, body []byte) error {
	o.Found = status/100 == 2
	if status/100 != 2 && status != http.StatusNotFound {
		var p register.Problem
		_ = json.Unmarshal(body, &p) // else the status has to do
		o.Cause = fmt.Sprintf("%d: %s", status, p.Detail)
		o.Outcome = Refused
		switch {
		case !o.Kind.writes():
		case status/100 == 5 && status != http.StatusServiceUnavailable && status != http.StatusInsufficientStorage,
			strings.Contains(p.Detail, unknownOutcome),
			o.Kind == Deregister && status/100 == 5: // it leaves the answers even if that cannot be stored
			o.Outcome = Unknown
		}
		return nil
	}
	switch o.Kind {
	case Renew:
		var a register.RenewAnswer
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		o.Found = a.Renewed == 1
	case Register, Drain, Undrain, Read:
		if !o.Found {
			return nil
		}
		var p register.Published
		if err := json.Unmarshal(body, &p); err != nil {
			return err
		}
		o.Seen = instance(p)
	case List:
		if !o.Found {
			return nil
		}
		var s register.Service
		if err := json.Unmarshal(body, &s); err != nil {
			return err
		}
		o.Revision, o.Listed = s.Revision, listed(s)
	}
	return nil
}

// instance is what the checker looks at of p.
func instance(p register.Published) Instance {
	return Instance{
		Value: p.Meta[mark], Drained: p.State == register.InstanceDrained, Revision: p.Revision,
		Rest: fmt.Sprintf("%s:%d %d:%d %v %v %d", p.Host, p.Port, p.Priority, p.Weight, p.TTL, p.Lease, p.Incarnation),
	}
}

func listed(s register.Service) []Listed {
	var all []Listed
	for _, p := range s.Instances {
		all = append(all, Listed{p.ID, instance(p)})
	}
	return all
}

// Tests: recorder_test.go.
