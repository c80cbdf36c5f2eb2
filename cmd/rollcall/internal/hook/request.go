package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

const (
	// maxAnswer bounds what is read of an answer: a list of a million instances has some
	// 300 MB.
	maxAnswer = 1 << 30
	// maxProblem bounds what is read of a refusal: it is a few lines.
	maxProblem = 64 << 10
)

// ErrFormat is in the error of an answer that cannot be that of a hook.
var ErrFormat = errors.New("this is not the answer of dnsd's hook; is the URL right?")

// Do sends a request to the first hook that answers, and decodes the answer into out,
// unless that is nil, or the answer is 204. A refusal is a *register.Problem.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	return c.each(func(base string) error {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		resp, err := c.send(ctx, method, base, path, body, "")
		if err != nil {
			return c.explain(base, err)
		}
		defer resp.Body.Close()
		if out == nil || resp.StatusCode == http.StatusNoContent {
			return nil
		}
		d := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
		if err := d.Decode(out); err != nil {
			if ctx.Err() != nil {
				return c.explain(base, ctx.Err())
			}
			return fmt.Errorf("hook %s: %s: %w (%w)", base, path, ErrFormat, err)
		}
		return nil
	})
}

// Text is the answer to GET path as it is.
func (c *Client) Text(ctx context.Context, path string) ([]byte, error) {
	text, _, err := c.TextFrom(ctx, path)
	return text, err
}

// TextFrom is the answer to GET path as it is, and the URL of the hook that gave it.
func (c *Client) TextFrom(ctx context.Context, path string) (text []byte, from string, err error) {
	err = c.each(func(base string) error {
		from = base
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		resp, err := c.send(ctx, http.MethodGet, base, path, nil, "")
		if err != nil {
			return c.explain(base, err)
		}
		defer resp.Body.Close()
		if text, err = io.ReadAll(io.LimitReader(resp.Body, maxText+1)); err != nil {
			return c.explain(base, err)
		}
		if len(text) > maxText {
			return fmt.Errorf("hook %s: %s: the answer is longer than %d octets", base, path, maxText)
		}
		return nil
	})
	return text, from, err
}

// Copy writes the answer to GET path to w, which may get a part of it before an error. It
// takes as long as the hook sends something.
func (c *Client) Copy(ctx context.Context, path string, w io.Writer) error {
	sent, broken := false, error(nil)
	err := c.each(func(base string) error {
		if sent { // w has the beginning of another answer
			return broken
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		late := time.AfterFunc(c.timeout, func() { cancel(context.DeadlineExceeded) })
		defer late.Stop()
		resp, err := c.send(ctx, http.MethodGet, base, path, nil, "")
		if err != nil {
			return c.explain(base, err)
		}
		defer resp.Body.Close()
		sent = true
		for {
			late.Reset(c.timeout)
			if _, err := io.CopyN(w, resp.Body, 64<<10); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				broken = c.explain(base, err)
				return broken
			}
		}
	})
	if broken != nil {
		return broken
	}
	return err
}

// maxText bounds an answer of Text: metrics, with 200 services and 100 addresses at most.
const maxText = 16 << 20

// each tries one hook after the other until one answers for itself. What it answers
// counts, also a refusal, but for 503 and 421: then another one may be able to. All
// requests of this API may be sent again.
func (c *Client) each(try func(base string) error) error {
	var all []error
	for _, base := range c.bases {
		err := try(base)
		var p *register.Problem
		if err == nil || errors.As(err, &p) && p.Status != http.StatusServiceUnavailable && p.Status != http.StatusMisdirectedRequest {
			return err
		}
		all = append(all, err)
		if errors.Is(err, context.Canceled) {
			break
		}
	}
	return errors.Join(all...)
}

// send sends one request. An answer that is no success is an error.
func (c *Client) send(ctx context.Context, method, base, path string, body any, accept string) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, r)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problem(resp)
}

// problem reads a refusal. Without the content type of a problem, the answer is that of
// another program.
func problem(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // what could be read says more than the error
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var p register.Problem
	if kind == register.ProblemType && json.Unmarshal(text, &p) == nil {
		p.Status = resp.StatusCode
		after, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31) // RFC 9110 section 10.2.3: seconds, or a date
		if err == nil && (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable) {
			return &later{&p, time.Duration(after) * time.Second}
		}
		return &p
	}
	if strings.Contains(string(text), "HTTP request to an HTTPS server") {
		return errPlain
	}
	return fmt.Errorf("%w It answers %s", ErrFormat, resp.Status)
}

// Path joins the parts of a path, each escaped.
func Path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// Instance is the path of an instance.
func Instance(service, id string) string {
	return Path("v1", "services", service, "instances", id)
}

// later is a refusal that may be over after a pause.
type later struct {
	*register.Problem
	after time.Duration
}

func (l *later) Unwrap() error { return l.Problem }

// RetryAfter is the pause after which the hook may take the request that it refused with
// err. ok: err is such a refusal.
func RetryAfter(err error) (pause time.Duration, ok bool) {
	var l *later
	if !errors.As(err, &l) {
		return 0, false
	}
	return l.after, true
}

// Refusal is the refusal of a hook in err, or nil.
func Refusal(err error) *register.Problem {
	var p *register.Problem
	if !errors.As(err, &p) {
		return nil
	}
	return p
}

// IsStatus says whether err is a refusal of the hook with this status.
func IsStatus(err error, status int) bool {
	p := Refusal(err)
	return p != nil && p.Status == status
}
