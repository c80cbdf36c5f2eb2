package resolver

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/pushjudge"
)

// judged is a server whose sessions a script leads, by the second implementation of the
// protocol (package pushjudge), which judges what the client sends. Questions by DNS have the
// answers of a good server.
//
// The public source of Apple's mDNSResponder has another client of DNS Push. It is no judge
// here, because it cannot be built with Debian's packages (tried: 1310.140.1 and 2600.100.147):
// the function that begins TLS is there for Apple's own network framework alone, and the newer
// one does not compile where DNS Push is switched on.
type judged struct {
	*pushjudge.Server
	conn net.Conn
	n    int             // sessions before this one
	id   uint16          // of the FOLLOW
	ask  pushjudge.Asked // the request that has no response yet
}

// errScript is a script that has said all, and leaves the connection open.
var errScript = errors.New("the script has ended")

// judging gives a client of a server that script leads, the server of its questions, and the
// moments of its connections.
func judging(t *testing.T, script func(*judged) error) (*Resolver, *fakeServer, func() []time.Time) {
	s, r := one(service(t, 2))
	var mu sync.Mutex
	n := 0
	inner := r.Dial
	r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if network == "udp" {
			return inner(ctx, network, addr)
		}
		client, server := net.Pipe()
		mu.Lock()
		j := &judged{Server: pushjudge.NewServer(server), conn: server, n: n}
		n++
		mu.Unlock()
		go func() {
			defer server.Close()
			err := script(j)
			for errors.Is(err, errScript) {
				if _, fault := j.Read(); fault != nil {
					err = fault
				}
			}
			if err != nil && !isEnd(err) {
				t.Errorf("the client breaks a rule: %v", err)
			}
		}()
		return client, nil
	}
	return r, s, counted(r)
}

// isEnd tells whether an error says that the client has ended the connection.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe)
}

// hello answers the first message of the client.
func (j *judged) hello() (err error) {
	if j.ask, err = j.Expect(pushjudge.KeepAlive); err != nil {
		return err
	}
	return j.Respond(j.ask, dns.RcodeSuccess, pushjudge.TLV{Type: pushjudge.KeepAlive, Data: pushjudge.Times(15*time.Second, time.Hour)})
}

// asked waits for the FOLLOW.
func (j *judged) asked() (err error) {
	if err = j.hello(); err == nil {
		j.ask, err = j.Expect(pushjudge.Follow)
		j.id = j.ask.ID
	}
	return err
}

// follow begins to tell about the name.
func (j *judged) follow(t *testing.T) error {
	if err := j.asked(); err != nil {
		return err
	}
	if err := j.Respond(j.ask, dns.RcodeSuccess); err != nil {
		return err
	}
	return j.whole(t)
}

// whole tells the set: two instances at revision 1, and in later sessions what DNS says then.
func (j *judged) whole(t *testing.T) error {
	if j.n > 0 {
		return j.Set(j.id, pushjudge.Whole, 2, instances(t, 3)...)
	}
	return j.Set(j.id, pushjudge.Whole, 1, instances(t, 2)...)
}

// stay answers KeepAlives until the client ends the session.
func (j *judged) stay() error {
	for {
		a, err := j.Read()
		if err != nil {
			return err
		}
		if a.Type != pushjudge.KeepAlive {
			continue
		}
		if err := j.Respond(a, dns.RcodeSuccess, pushjudge.TLV{Type: pushjudge.KeepAlive, Data: pushjudge.Times(15*time.Second, time.Hour)}); err != nil {
			return err
		}
	}
}

// raw writes octets.
func (j *judged) raw(octets ...byte) error {
	_, err := j.conn.Write(octets)
	return err
}

// TestAnAbortIsAReset, as RFC 8490 section 5.3 wants it: the server sees that the end of the
// session was a fault.
func TestAnAbortIsAReset(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, r := one(service(t, 2))
	inner := r.Dial
	r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if network == "udp" {
			return inner(ctx, network, addr)
		}
		return new(net.Dialer).DialContext(ctx, network, ln.Addr().String())
	}
	w := watch(t, r, mathTCP)
	defer w.close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	j := &judged{Server: pushjudge.NewServer(conn), conn: conn}
	if err := j.follow(t); err != nil {
		t.Fatal(err)
	}
	if err := j.raw(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Read(); !pushjudge.Aborted(err) {
		t.Errorf("after a fault of the server: %v, want a reset", err)
	}
}
