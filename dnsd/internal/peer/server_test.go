package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// start runs a Server on loopback that knows the given identities.
func start(t testing.TB, r Registry, known *known) (*Server, Target) {
	t.Helper()
	me := identity(t)
	s, err := Listen(ServerConfig{
		Name: "a", Addr: "127.0.0.1:0", Identity: me, Known: known.has, Registry: r,
		CertificateEnds: func() time.Time { return certificateEnds },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, Target{Name: "a", Address: s.Addr().String(), Fingerprint: me.Fingerprint()}
}

// certificateEnds is what the Servers of tests tell.
var certificateEnds = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// known is the fingerprints of the present members.
type known struct {
	mu  sync.Mutex
	all map[Fingerprint]bool
}

func (k *known) has(f Fingerprint) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[f]
}

func (k *known) add(i *Identity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = make(map[Fingerprint]bool)
	}
	k.all[i.Fingerprint()] = true
}

func (k *known) remove(i *Identity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, i.Fingerprint())
}

func client(t testing.TB, me *Identity) *Client {
	c := NewClient(me, nil)
	t.Cleanup(c.Close)
	return c
}

// post sends a body as a Client would.
func post(t *testing.T, c *Client, to Target, body string) (int, string) {
	t.Helper()
	status, answer, _, err := c.do(t.Context(), to, http.MethodPost, pathOperations, []byte(body), maxAnswer)
	if err != nil {
		t.Fatal(err)
	}
	return status, string(answer)
}

func TestMembersOverTLS(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		r, me, present := open(t, registry.Config{}), identity(t), &known{}
		present.add(me)
		_, to := start(t, r, present)
		own, _ := follower(t, r)
		c := client(t, me)
		w := NewWrites(WritesConfig{Registry: own, Members: newMembers(to), Client: c})
		defer w.Close()
		var running sync.WaitGroup
		for i := range 200 {
			running.Go(func() {
				id := fmt.Sprint("a", i)
				if done, err := w.Register(t.Context(), sample(id)); err != nil || done.Did != registry.Created {
					t.Errorf("Register: %+v, %v", done, err)
				}
				if done, err := w.Renew(t.Context(), key(id), 7); err != nil || done.Did != registry.Renewed {
					t.Errorf("Renew: %+v, %v", done, err)
				}
			})
		}
		running.Wait()
		if n := own.Stats().Instances; n != 200 {
			t.Errorf("%d instances here", n)
		}
		got, err := c.State(t.Context(), to)
		want := State{Name: "a", Revision: r.Revision(), Life: r.Life().String(), Role: "writer", CertificateEnds: certificateEnds}
		if err != nil || got != want {
			t.Errorf("State = %+v, %v; want %+v", got, err, want)
		}
	})
}

// A process that is not a present member does not get as far as HTTP.
func TestStrangersAreTurnedAway(t *testing.T) {
	present, me, stranger := &known{}, identity(t), identity(t)
	present.add(me)
	s, to := start(t, open(t, registry.Config{}), present)
	served := make(chan struct{}, 10)
	s.http.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			served <- struct{}{}
		}
	}
	for name, config := range map[string]*tls.Config{
		"without a certificate":      {InsecureSkipVerify: true},
		"with an unknown one":        stranger.config(func(Fingerprint) error { return nil }),
		"with a member's, not a key": {InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: me.certificate.Certificate, PrivateKey: stranger.certificate.PrivateKey}}},
		"with TLS 1.2":               {InsecureSkipVerify: true, Certificates: []tls.Certificate{me.certificate}, MaxVersion: tls.VersionTLS12},
	} {
		c, err := tls.Dial("tcp", to.Address, config)
		if err == nil { // in TLS 1.3 the client's handshake ends before the server has seen its certificate
			_, _ = io.WriteString(c, "GET /v1/state HTTP/1.1\r\nHost: a\r\n\r\n")
			var n int
			n, err = c.Read(make([]byte, 100))
			if err == nil {
				t.Errorf("%s: got %d octets", name, n)
			}
			c.Close()
		}
		t.Log(name, err)
	}
	plain, err := net.Dial("tcp", to.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_, _ = io.WriteString(plain, "GET /v1/state HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, _ := io.ReadAll(plain); bytes.Contains(got, []byte("HTTP")) {
		t.Errorf("without TLS: got %q", got)
	}
	if _, err := client(t, me).State(t.Context(), to); err != nil { // and a member is served
		t.Error(err)
	}
	if len(served) != 1 {
		t.Errorf("%d connections were served, want that of the member alone", len(served))
	}
}

// A client does not speak to another process than the one that it dials.
func TestClientBelievesOneCertificate(t *testing.T) {
	present, me := &known{}, identity(t)
	present.add(me)
	_, old := start(t, open(t, registry.Config{}), present)
	c := client(t, me)
	if _, err := c.State(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	restarted := old
	restarted.Fingerprint = identity(t).Fingerprint() // as the store says; the old process still listens
	_, _, sent, err := c.do(t.Context(), restarted, http.MethodPost, pathOperations, []byte("{}"), 100)
	if err == nil || sent || !strings.Contains(err.Error(), "another process is there") {
		t.Errorf("sent: %v, %v; want a refusal before anything is sent", sent, err)
	}
}

// A member that has left, or has restarted with another certificate, is not served on
// the connections that it has, either.
func TestFormerMemberIsNotServed(t *testing.T) {
	present, me, again := &known{}, identity(t), identity(t)
	present.add(me)
	_, to := start(t, open(t, registry.Config{}), present)
	c := client(t, me)
	if status, answer := post(t, c, to, `{"version":1,"operations":[{"do":"skip"}]}`); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	present.remove(me)
	present.add(again)
	if status, answer := post(t, c, to, `{"version":1,"operations":[{"do":"skip"}]}`); status != http.StatusForbidden || !strings.Contains(answer, "notWriter") {
		t.Errorf("on the old connection: %d %s", status, answer)
	}
	if _, err := client(t, me).State(t.Context(), to); err == nil {
		t.Errorf("the old certificate is accepted")
	} else {
		t.Log(err)
	}
	if _, err := client(t, again).State(t.Context(), to); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	present, me, r := &known{}, identity(t), open(t, registry.Config{})
	present.add(me)
	s, to := start(t, r, present)
	c := client(t, me)
	for body, want := range map[string]string{
		`{"version":2,"operations":[{"do":"skip"}]}`: "unsupported",
		`{"version":1,"operations":[{"do":"skip"}`:   "malformed",
		strings.Repeat(" ", maxRequest+1):            "malformed",
		`{"version":1,"operations":[` + strings.Repeat(`{"do":"skip"},`, mostOperations) + `{"do":"skip"}]}`: "malformed",
	} {
		before := r.Revision()
		status, answer := post(t, c, to, body)
		reason, err := refusalOf(status, []byte(answer))
		if status != http.StatusBadRequest || err != nil || !strings.Contains(answer, want) || reason == nil || r.Revision() != before {
			t.Errorf("%.60s: %d %s, revision %d after %d", body, status, answer, r.Revision(), before)
		}
	}
	if status, answer, _, err := c.do(t.Context(), to, http.MethodGet, "/v2/state", nil, 1000); err != nil || status != http.StatusNotFound || !strings.Contains(string(answer), "unsupported") {
		t.Errorf("an unknown path: %d %s, %v", status, answer, err)
	}
	status, answer := post(t, c, to, `{"version":1,"operations":[{"do":"paint"},{"do":"skip"}]}`)
	if status != http.StatusOK || !strings.Contains(answer, "unsupported") || !strings.Contains(answer, "forgotten") {
		t.Errorf("an unknown operation beside a known one: %d %s", status, answer)
	}
	for range mostBatches {
		s.batches <- struct{}{}
	}
	if status, answer := post(t, c, to, `{"version":1,"operations":[]}`); status != http.StatusServiceUnavailable || !strings.Contains(answer, "busy") {
		t.Errorf("with too many requests: %d %s", status, answer)
	}
}

func TestFollowerRefusesEverything(t *testing.T) {
	present, me := &known{}, identity(t)
	present.add(me)
	r, _ := follower(t, open(t, registry.Config{}))
	_, to := start(t, r, present)
	status, answer := post(t, client(t, me), to, `{"version":1,"operations":[{"do":"skip"}]}`)
	reason, err := refusalOf(status, []byte(answer))
	if status != http.StatusServiceUnavailable || err != nil || !errors.Is(reason, registry.ErrNotWriter) {
		t.Errorf("%d %s, %v, %v", status, answer, reason, err)
	}
}

// A slow request takes a place among the slow, so that probes do not keep renewals out.
func TestSlowRequestsHavePlacesOfTheirOwn(t *testing.T) {
	present, me, r := &known{}, identity(t), slowRegistry{open(t, registry.Config{}), make(chan struct{}), make(chan struct{})}
	present.add(me)
	s, to := start(t, r, present)
	c := client(t, me)
	for range mostBatches - 1 {
		s.batches <- struct{}{}
	}
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			status, answer := post(t, c, to, `{"version":1,"operations":[{"do":"connectionLost","instance":"_math._tcp/a1","incarnation":1}]}`)
			if status != http.StatusOK {
				t.Errorf("%d %s", status, answer)
			}
		})
		<-r.begun
	}
	if status, answer := post(t, c, to, `{"version":1,"operations":[{"do":"skip"}]}`); status != http.StatusOK {
		t.Errorf("%d %s", status, answer)
	}
	close(r.hold)
	running.Wait()
}

// An answer that is cut off, or is none, leaves the outcome unknown.
func TestHalfAnswers(t *testing.T) {
	me, other := identity(t), identity(t)
	for name, answer := range map[string]string{
		"nothing":       "",
		"half a header": "HTTP/1.1 200 OK\r\nContent-",
		"half a body":   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"results\":[{\"rec",
		"too long":      "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n" + strings.Repeat("x", 200),
		"no HTTP":       "SSH-2.0-x\r\n",
	} {
		ln, err := tls.Listen("tcp", "127.0.0.1:0", other.config(func(Fingerprint) error { return nil }))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = c.Read(make([]byte, 1000))
			_, _ = io.WriteString(c, answer)
		}()
		_, _, sent, err := client(t, me).do(t.Context(), Target{Address: ln.Addr().String(), Fingerprint: other.Fingerprint()}, http.MethodPost, pathOperations, []byte("{}"), 100)
		if err == nil || !sent {
			t.Errorf("%s: sent: %v, %v; want an error after it was sent", name, sent, err)
		}
		ln.Close()
	}
	// No process listens there now.
	_, _, sent, err := client(t, me).do(t.Context(), Target{Address: "127.0.0.1:1", Fingerprint: other.Fingerprint()}, http.MethodPost, pathOperations, []byte("{}"), 100)
	if err == nil || sent {
		t.Errorf("sent: %v, %v; want an error before anything was sent", sent, err)
	}
}

func TestListenOnAnAddressThatIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := Listen(ServerConfig{Addr: ln.Addr().String(), Identity: identity(t), Registry: open(t, registry.Config{})}); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("Listen: %v; want an error with the address", err)
	}
}
