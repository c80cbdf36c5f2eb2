package resolver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// maxUDP is the largest UDP reply that is read. We offer udpSize. A server that sends more
// than maxUDP is asked again over TCP.
const maxUDP = 4096

// resendAfter is the part of Timeout after which a UDP query is sent once more, with the
// same id on the same socket. So a lost packet costs a quarter of the timeout, and a slow
// answer to the first query is still accepted.
const resendAfter = 4

var errOversized = fmt.Errorf("malformed reply: over %d octets by UDP", maxUDP)

// try is one question over one transport, within Timeout.
func (r *Resolver) try(ctx context.Context, network, server string, q question, edns bool, resend, timeout time.Duration) (*reply, error) {
	begin := time.Now()
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rep, err := r.tryWithin(within, network, server, q, edns, begin.Add(resend), begin.Add(timeout))
	switch {
	case err == nil:
		return rep, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case within.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &timeoutError{strings.ToUpper(network), timeout}
	}
	return nil, withoutPorts(err)
}

// withoutPorts takes the addresses out of a network error. The server is named elsewhere
// in the error, and our own port changes with every try. The same failure must have the
// same text, or each one would be news to watchers.
func withoutPorts(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	return &net.OpError{Op: op.Op, Net: op.Net, Err: op.Err}
}

func (r *Resolver) tryWithin(ctx context.Context, network, server string, q question, edns bool, resend, deadline time.Time) (*reply, error) {
	var random [2]byte
	rand.Read(random[:])
	id := binary.BigEndian.Uint16(random[:])
	query, err := q.pack(id, edns)
	if err != nil {
		return nil, err
	}
	conn, err := r.dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// Closing is final, while a deadline could be replaced by a later one.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if network == "tcp" {
		return askStream(conn, q, query, id, deadline)
	}
	return askPacket(conn, q, query, id, resend, deadline)
}

func (r *Resolver) dial(ctx context.Context, network, server string) (net.Conn, error) {
	config := r.TLS
	if network != "tcp" {
		config = nil
	}
	return r.dialWith(ctx, network, server, config)
}

// dialWith connects to a server, with TLS if config is not nil.
func (r *Resolver) dialWith(ctx context.Context, network, server string, config *tls.Config) (net.Conn, error) {
	dial := r.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, network, server)
	if err != nil || config == nil {
		return conn, err
	}
	if config.ServerName == "" && !config.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(server)
		if err != nil {
			conn.Close()
			return nil, err
		}
		config = config.Clone()
		config.ServerName = strings.TrimSuffix(host, ".")
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secure, nil
}

// askPacket sends the query, again at resend if that is before the deadline, and reads
// until the true reply or the deadline. Packets that do not answer the question are
// ignored: they may be forged, or late (RFC 5452 section 9).
func askPacket(conn net.Conn, q question, query []byte, id uint16, resend, deadline time.Time) (*reply, error) {
	buf := make([]byte, maxUDP+1)
	untils := []time.Time{resend, deadline}
	if !resend.Before(deadline) {
		untils = untils[1:]
	}
	for _, until := range untils {
		if err := conn.SetDeadline(until); err != nil {
			return nil, err
		}
		if _, err := conn.Write(query); err != nil {
			return nil, err
		}
		for {
			n, err := conn.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err // refused by ICMP, closed with ctx
			}
			if !q.answeredBy(buf[:n], id) {
				continue
			}
			if n > maxUDP {
				return nil, &brokenError{errOversized}
			}
			rep, err := q.parse(buf[:n])
			if err != nil {
				return nil, &brokenError{err}
			}
			return rep, nil
		}
	}
	return nil, os.ErrDeadlineExceeded
}

// askStream is one exchange over TCP (RFC 1035 section 4.2.2).
func askStream(conn net.Conn, q question, query []byte, id uint16, deadline time.Time) (*reply, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(query)), uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, fmt.Errorf("reading the reply over TCP: %w", err)
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	if n, err := io.ReadFull(conn, msg); err != nil {
		return nil, fmt.Errorf("reading the reply over TCP: %d of %d octets: %w", n, len(msg), err)
	}
	if !q.answeredBy(msg, id) {
		return nil, errors.New("a reply to another question over TCP")
	}
	return q.parse(msg)
}
