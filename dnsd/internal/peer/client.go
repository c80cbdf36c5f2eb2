package peer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Target is another member, as it has published itself.
type Target struct {
	Name        string
	Address     string // host:port
	Fingerprint Fingerprint
}

const (
	// dialTime bounds a connection with its handshake: a machine in reach needs some
	// milliseconds, and another writer may be elected meanwhile.
	dialTime = 2 * time.Second
	// idleClient closes a connection that is not used.
	idleClient = time.Minute
	// mostConns bounds the connections to one member: the requests that Writes has under
	// way at once, and one for State.
	mostConns = 20
	// maxState bounds the answer of State.
	maxState = 4 << 10
)

// Client asks other members. It believes a connection only if the other end proves to be
// the one with the fingerprint. It is safe for concurrent use.
type Client struct {
	me        Fingerprint
	transport http.RoundTripper
	close     func()
}

// Dial connects to an address, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// NewClient returns a client that shows the certificate of me. If connect is nil, a
// net.Dialer connects.
func NewClient(me *Identity, connect Dial) *Client {
	if connect == nil {
		dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}
		connect = dialer.DialContext
	}
	t := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			to, ok := ctx.Value(targetKey{}).(Target)
			if !ok {
				return nil, fmt.Errorf("peer: dial: no target")
			}
			return dial(ctx, connect, me, to)
		},
		DisableCompression:  true,
		IdleConnTimeout:     idleClient,
		MaxConnsPerHost:     mostConns,
		MaxIdleConnsPerHost: mostConns,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
	}
	return &Client{me: me.fingerprint, transport: t, close: t.CloseIdleConnections}
}

// Close closes the connections that are not used. Those in use close when their requests
// have ended.
func (c *Client) Close() { c.close() }

// targetKey is the key of a request's Target in its context. The URL names the fingerprint
// in place of the host, so that a connection to a process serves no other process that is
// at the same address later.
type targetKey struct{}

func dial(ctx context.Context, connect Dial, me *Identity, to Target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	raw, err := connect(ctx, "tcp", to.Address)
	if err != nil {
		return nil, err // it names the address
	}
	encrypted := tls.Client(raw, me.config(func(f Fingerprint) error {
		if f != to.Fingerprint {
			return fmt.Errorf("another process is there: its certificate is not the one that the member published")
		}
		return nil
	}))
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("handshake with %s: %w", to.Address, err)
	}
	return encrypted, nil
}

// State asks a member how it is.
func (c *Client) State(ctx context.Context, to Target) (State, error) {
	var s State
	status, body, _, err := c.do(ctx, to, http.MethodGet, pathState, nil, maxState)
	switch {
	case err != nil:
	case status != http.StatusOK:
		reason, unreadable := refusalOf(status, body)
		err = cmp.Or(unreadable, reason)
	default:
		err = json.Unmarshal(body, &s)
	}
	if err != nil {
		return State{}, fmt.Errorf("peer: state of member %s: %w", to.Name, err)
	}
	return s, nil
}

// do makes one request. It is sent at most once. sent is false if no octet of the request
// was sent.
func (c *Client) do(ctx context.Context, to Target, method, path string, body []byte, most int64) (status int, answer []byte, sent bool, err error) {
	upload := &upload{Reader: bytes.NewReader(body)}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, targetKey{}, to), method, "https://"+to.Fingerprint.String()+path, nil)
	if err != nil {
		return 0, nil, false, err
	}
	if body != nil {
		r.Body, r.ContentLength = upload, int64(len(body))
		r.GetBody = upload.again
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		var remote *net.OpError
		if errors.As(err, &remote) && remote.Op == "remote error" { // a TLS alert
			err = fmt.Errorf("it does not take the certificate of this process for that of a member: %w", err)
		}
		return 0, nil, upload.read.Load(), err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if resp.ContentLength > 0 {
		b.Grow(int(min(resp.ContentLength, most)) + bytes.MinRead)
	}
	if _, err = b.ReadFrom(io.LimitReader(resp.Body, most+1)); err != nil {
		return 0, nil, true, fmt.Errorf("read the answer: %w", err)
	}
	if int64(b.Len()) > most {
		return 0, nil, true, malformed("the answer has more than %d octets", most)
	}
	return resp.StatusCode, b.Bytes(), true, nil
}

// upload is the body of a request. It knows whether it was read: before that nothing was
// sent.
type upload struct {
	*bytes.Reader
	read atomic.Bool
}

func (u *upload) Read(p []byte) (int, error) {
	u.read.Store(true)
	return u.Reader.Read(p)
}

// WriteTo keeps io.Copy from going around Read.
func (u *upload) WriteTo(w io.Writer) (int64, error) {
	u.read.Store(true)
	return u.Reader.WriteTo(w)
}

func (u *upload) Close() error { return nil }

// again begins the body again. net/http asks for it if it used a connection that had been
// closed, and sent nothing.
func (u *upload) again() (io.ReadCloser, error) {
	u.read.Store(false)
	_, err := u.Seek(0, io.SeekStart)
	return u, err
}

// refusalOf reads the reason for another status than 200. The error says why it cannot.
func refusalOf(status int, body []byte) (reason, err error) {
	var r refusal
	if err := json.Unmarshal(body, &r); err != nil || r.Error == nil {
		return nil, malformed("status %d: %.200q", status, body)
	}
	return r.Error.parse()
}

// Tests: server_test.go.
