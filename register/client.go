package register

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxAnswer     = 64 << 10         // bytes: the hook's limit for a body
	maxRetryAfter = 30 * time.Second // a longer pause would cost the lease
)

// client sends requests to one hook, and goes to the next hook when one fails.
type client struct {
	http  *http.Client
	token string
	bases []string

	mu  sync.Mutex // guards cur
	cur int
}

// base is the hook in use.
func (c *client) base() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bases[c.cur]
}

// next goes from the hook that failed to the next one. It does nothing if another
// request has gone on already.
func (c *client) next(failed string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bases[c.cur] == failed {
		c.cur = (c.cur + 1) % len(c.bases)
	}
}

// back returns to a hook.
func (c *client) back(to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cur = max(slices.Index(c.bases, to), 0)
}

// request builds a request to the hook in use.
func (c *client) request(ctx context.Context, method, base, path string, body any) (*http.Request, error) {
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
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// do makes one request and decodes the answer into out, unless out is nil. After a
// failure that may be that of this hook alone, the next request goes to the next hook.
func (c *client) do(ctx context.Context, timeout time.Duration, method, path string, body, out any) error {
	outer := ctx
	ctx, cancel := context.WithTimeout(outer, timeout)
	defer cancel()
	base := c.base()
	err := c.try(ctx, method, base, path, body, out)
	if errors.Is(err, context.DeadlineExceeded) && outer.Err() == nil {
		err = &timeoutError{base, timeout}
	}
	if err != nil && (!refused(err) || unwelcome(err)) {
		c.next(base)
	}
	return err
}

func (c *client) try(ctx context.Context, method, base, path string, body, out any) error {
	req, err := c.request(ctx, method, base, path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return problemOf(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the answer of %s: %w", base, err)
	case len(data) > maxAnswer:
		return fmt.Errorf("the answer of %s is longer than %d bytes", base, maxAnswer)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the answer of %s is not that of a hook: %w", base, err)
	}
	return nil
}

// timeoutError is a hook that did not answer in time.
type timeoutError struct {
	base    string
	timeout time.Duration
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("%s: no answer within %v", e.base, e.timeout)
}
func (e *timeoutError) Unwrap() error { return context.DeadlineExceeded }

// withoutURL removes the path from an error of net/http: our own errors name the
// service and the id.
func withoutURL(err error) error {
	if u, ok := asType[*url.Error](err); ok {
		if host, perr := url.Parse(u.URL); perr == nil && host.Host != "" {
			return fmt.Errorf("%s://%s: %w", host.Scheme, host.Host, u.Err)
		}
	}
	return err
}

// answer is a Problem and what the response's header said.
type answer struct {
	*Problem
	genuine    bool // sent as problem+json: by a hook, not by a proxy
	retryAfter time.Duration
}

func (a *answer) Unwrap() error { return a.Problem }

// problemOf reads a failure. If the answer is not problem+json, we write the detail.
func problemOf(resp *http.Response) error {
	a := &answer{Problem: &Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		a.retryAfter = min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	mt, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && mt == ProblemType && json.Unmarshal(data, a.Problem) == nil {
		a.genuine = true
		a.Status = resp.StatusCode // RFC 9457 section 3.1.2: the member is only advisory
		return a
	}
	*a.Problem = Problem{
		Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode),
		Detail: fmt.Sprintf("%s gave no reason: is it the hook of a dnsd?", resp.Request.URL.Host),
	}
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode < 400 {
		a.Detail = fmt.Sprintf("%s redirects to %.200q, and the token is not sent there: if that is the hook of a dnsd, put it into Config.Hooks or ROLLCALL_HOOK", resp.Request.URL.Host, to)
	} else if words := firstLine(data); words != "" && mt == "text/plain" {
		a.Detail = fmt.Sprintf("%s answered %q: is it the hook of a dnsd?", resp.Request.URL.Host, words)
	}
	return a
}

// firstLine is the first line of data, cut to a bounded length.
func firstLine(data []byte) string {
	const most = 200
	line, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	if len(line) > most {
		line = line[:most] + "..."
	}
	return strings.ToValidUTF8(strings.TrimSpace(line), "")
}

// refused reports whether the hook understood the request and refused it: to repeat
// it, here or at another hook, would not help. An answer that is not a Problem does
// not come from a hook, but from something before it that is not ready: an ingress
// without a backend, a login page.
func refused(err error) bool {
	a, ok := asType[*answer](err)
	if !ok || !a.genuine {
		return false
	}
	switch a.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return a.Status >= 300 && a.Status < 500
}

// unwelcome reports whether the hook refused the sender, or its own name, and not what
// the request says: another hook may have another configuration, while a token is changed
// everywhere for example.
func unwelcome(err error) bool {
	switch status(err) {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest:
		return true
	}
	return false
}

// mistrusted reports whether the hook's certificate could not be verified.
func mistrusted(err error) bool {
	_, ok := asType[*tls.CertificateVerificationError](err)
	return ok
}

// strikes is how many hooks in a row have turned the sender away. A hook that fails otherwise
// may take the request when it works again.
type strikes int

// add counts the failure of a request.
func (n *strikes) add(err error) {
	if *n++; !mistrusted(err) && (!refused(err) || !unwelcome(err)) {
		*n = 0
	}
}

// final reports whether the request that failed last was refused, and would be at every hook.
func (n strikes) final(err error, hooks int) bool {
	return refused(err) && (!unwelcome(err) || int(n) >= hooks)
}

// neverArrived reports whether it is certain that the hook did not execute the request.
func neverArrived(err error) bool {
	if a, ok := asType[*answer](err); ok && a.Status >= 300 && a.Status < 500 {
		return true
	}
	return unreached(err)
}

// unreached reports whether no connection to the hook could be made.
func unreached(err error) bool {
	op, ok := asType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// status is the status of a Problem of the hook; 0 for all other errors.
func status(err error) int {
	if a, ok := asType[*answer](err); ok && a.genuine {
		return a.Status
	}
	return 0
}

func retryAfter(err error) time.Duration {
	if a, ok := asType[*answer](err); ok {
		return a.retryAfter
	}
	return 0
}
