//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

const (
	sockets = 8
	window  = 32 // queries in flight on each
	// names is how many different queries there are at most: those of a
	// million instances still do not fit into a cache.
	names = 1 << 16
)

// load is the generator: queries made ready, asked in a closed loop.
type load struct {
	queries [][]byte
}

// result is what one run of the load counted.
type result struct {
	answers, lost, bytes int
	took                 time.Duration
}

func newLoad(o options) *load {
	l := new(load)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range min(o.services, names) {
		n := i
		if o.services > names {
			n = rnd.IntN(o.services)
		}
		m := new(dns.Msg).SetQuestion(serviceName(n)+".svc.", dns.TypeSRV)
		m.RecursionDesired = false
		m.SetEdns0(1232, false)
		p, err := m.Pack()
		if err != nil {
			panic(err) // a name of our own making
		}
		l.queries = append(l.queries, p)
	}
	rnd.Shuffle(len(l.queries), func(i, j int) { l.queries[i], l.queries[j] = l.queries[j], l.queries[i] })
	return l
}

// udp asks for d: each socket has window queries in flight, and an answer makes
// room for the next one. What does not come within 100 ms is lost and asked
// anew.
func (l *load) udp(to netip.AddrPort, d time.Duration) (result, error) {
	if err := pinThread(generatorCore); err != nil {
		return result{}, err
	}
	var all [sockets]*batcher
	for i := range all {
		fd, err := socket()
		if err != nil {
			return result{}, err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, sockaddr(to)); err != nil {
			return result{}, fmt.Errorf("connect %s: %w", to, err)
		}
		all[i] = newBatcher(fd, false)
	}
	var r result
	next := 0
	ask := func(b *batcher, n int) error {
		for n > 0 {
			k := min(n, batch)
			for i := range k {
				b.set(i, l.queries[next])
				if next++; next == len(l.queries) {
					next = 0
				}
			}
			if err := b.transmit(k); err != nil {
				return err
			}
			n -= k
		}
		return nil
	}
	poll := make([]unix.PollFd, sockets)
	for i, b := range all {
		poll[i] = unix.PollFd{Fd: int32(b.fd), Events: unix.POLLIN}
		if err := ask(b, window); err != nil {
			return r, err
		}
	}
	begin := time.Now()
	for time.Since(begin) < d {
		idle := true
		for _, b := range all {
			n, err := b.receive(unix.MSG_DONTWAIT)
			if err != nil {
				return r, err
			}
			if n == 0 {
				continue
			}
			idle = false
			for i := range n {
				if b.in[i][3]&0xF != 0 || b.in[i][2]&0x80 == 0 || b.recv[i].Len < 100 {
					return r, fmt.Errorf("answer of %d octets, flags %x", b.recv[i].Len, b.in[i][2:4])
				}
			}
			r.answers += n
			r.bytes = int(b.recv[0].Len)
			if err := ask(b, n); err != nil {
				return r, err
			}
		}
		if !idle {
			continue
		}
		switch n, err := unix.Poll(poll, 100); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return r, err
		case n == 0:
			for _, b := range all {
				r.lost += window
				if err := ask(b, window); err != nil {
					return r, err
				}
			}
		}
	}
	r.took = time.Since(begin)
	return r, nil
}

// tcp asks for d over connections with window queries in flight on each. The
// answers that one read brings are answered by as many new queries in one write.
func (l *load) tcp(to netip.AddrPort, d time.Duration) (result, error) {
	if err := pinThread(generatorCore); err != nil {
		return result{}, err
	}
	var r result
	var all [sockets]stream
	var poll [sockets]unix.PollFd
	next := 0
	ask := func(s *stream, n int) error {
		for range n {
			q := l.queries[next]
			if next++; next == len(l.queries) {
				next = 0
			}
			s.out = binary.BigEndian.AppendUint16(s.out, uint16(len(q)))
			s.out = append(s.out, q...)
		}
		return s.flush()
	}
	for i := range all {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return r, err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, sockaddr(to)); err != nil {
			return r, fmt.Errorf("connect %s: %w", to, err)
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		if err := unix.SetNonblock(fd, true); err != nil {
			return r, err
		}
		all[i] = stream{fd: fd, in: make([]byte, 256<<10)}
		poll[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		if err := ask(&all[i], window); err != nil {
			return r, err
		}
	}
	begin := time.Now()
	for time.Since(begin) < d {
		idle := true
		for i := range all {
			n, size, err := all[i].answers()
			if err != nil {
				return r, err
			}
			if n == 0 {
				continue
			}
			idle = false
			r.answers, r.bytes = r.answers+n, size
			if err := ask(&all[i], n); err != nil {
				return r, err
			}
		}
		if !idle {
			continue
		}
		if n, err := unix.Poll(poll[:], 5000); err != nil && !errors.Is(err, unix.EINTR) {
			return r, err
		} else if n == 0 {
			return r, errors.New("no answer for 5 s")
		}
	}
	r.took = time.Since(begin)
	return r, nil
}

// stream is one connection.
type stream struct {
	fd   int
	in   []byte
	have int
	out  []byte
}

func (s *stream) flush() error {
	for len(s.out) > 0 {
		n, err := unix.Write(s.fd, s.out)
		switch {
		case err == nil:
			s.out = s.out[:copy(s.out, s.out[n:])]
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return err
		}
	}
	return nil
}

// answers reads what has come and returns how many whole answers that were, and
// the length of the last.
func (s *stream) answers() (n, size int, err error) {
	got, err := unix.Read(s.fd, s.in[s.have:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, 0, nil
	case err != nil:
		return 0, 0, err
	case got == 0:
		return 0, 0, io.ErrUnexpectedEOF
	}
	s.have += got
	rest := s.in[:s.have]
	for len(rest) >= 2 && len(rest) >= 2+int(binary.BigEndian.Uint16(rest)) {
		size = int(binary.BigEndian.Uint16(rest))
		if size < 100 || rest[5]&0xF != 0 {
			return n, size, fmt.Errorf("answer of %d octets, flags %x", size, rest[4:6])
		}
		rest = rest[2+size:]
		n++
	}
	s.have = copy(s.in, rest)
	return n, size, nil
}
