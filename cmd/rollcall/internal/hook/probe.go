package hook

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// Probe is what one hook answers to a health request, and what is seen beside the answer.
type Probe struct {
	Status int
	Detail string // of a refusal
	// Ahead is how far the clock of dnsd's host is ahead of ours, within Error. Zero
	// Error: it does not say.
	Ahead, Error time.Duration
	Expires      time.Time // of the hook's certificate; zero: no TLS
}

// Probe asks one hook of Bases for a path that needs no token.
func (c *Client) Probe(ctx context.Context, base, path string) (p Probe, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return p, err
	}
	begin := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return p, c.explain(base, err)
	}
	defer resp.Body.Close()
	took := time.Since(begin)
	p.Status = resp.StatusCode
	var answer struct {
		Status any    `json:"status"`
		Detail string `json:"detail"`
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return p, c.explain(base, err)
	}
	if json.Unmarshal(text, &answer) != nil || answer.Status == nil {
		if p.Status == http.StatusBadRequest {
			return p, c.explain(base, errPlain)
		}
		return p, c.explain(base, ErrFormat)
	}
	p.Detail = answer.Detail
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The header has whole seconds, and was written between the two.
		p.Ahead = date.Add(time.Second / 2).Sub(begin.Add(took / 2))
		p.Error = time.Second/2 + took/2
	}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		p.Expires = resp.TLS.PeerCertificates[0].NotAfter
	}
	return p, nil
}

// Tests: probe_test.go.
