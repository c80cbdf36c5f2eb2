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
	next    int // the query to ask next
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
// room for the next one. Queries without an answer for 100 ms count as lost and are
// asked again.
func (l *load) udp(to netip.AddrPort, d time.Duration) (result, error) {
	if err := pinThread(generatorCore); err != nil {
		return result{}, err
	}
	var all [sockets]*batcher
	var poll [sockets]unix.PollFd
	var r result
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
		poll[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		if err := l.send(all[i], window); err != nil {
			return r, err
		}
	}
	begin := time.Now()
	for time.Since(begin) < d {
		idle := true
		for _, b := range all {
			n, err := l.exchange(b, &r)
			if err != nil {
				return r, err
			}
			idle = idle && n == 0
		}
		if !idle {
			continue
		}
		switch n, err := unix.Poll(poll[:], 100); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return r, err
		case n == 0:
			for _, b := range all {
				r.lost += window
				if err := l.send(b, window); err != nil {
					return r, err
				}
			}
		}
	}
	r.took = time.Since(begin)
	return r, nil
}

// exchange takes the answers that are there, and asks as many new queries.
func (l *load) exchange(b *batcher, r *result) (int, error) {
	n, err := b.receive(unix.MSG_DONTWAIT)
	if err != nil || n == 0 {
		return n, err
	}
	for i := range n {
		if b.in[i][3]&0xF != 0 || b.in[i][2]&0x80 == 0 || b.recv[i].Len < 100 {
			return n, fmt.Errorf("answer of %d octets, flags %x", b.recv[i].Len, b.in[i][2:4])
		}
	}
	r.answers += n
	r.bytes = int(b.recv[0].Len)
	return n, l.send(b, n)
}

// send asks the next n queries.
func (l *load) send(b *batcher, n int) error {
	for n > 0 {
		k := min(n, batch)
		for i := range k {
			b.set(i, l.query())
		}
		if err := b.transmit(k); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// query is the next one.
func (l *load) query() []byte {
	q := l.queries[l.next]
	if l.next++; l.next == len(l.queries) {
		l.next = 0
	}
	return q
}

// tcp asks for d over connections with window queries in flight on each. It answers
// what one read brings with as many new queries in one write.
func (l *load) tcp(to netip.AddrPort, d time.Duration) (result, error) {
	if err := pinThread(generatorCore); err != nil {
		return result{}, err
	}
	var r result
	var all [sockets]*stream
	var poll [sockets]unix.PollFd
	for i := range all {
		s, err := connect(to)
		if err != nil {
			return r, err
		}
		defer unix.Close(s.fd)
		all[i] = s
		poll[i] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
		if err := s.ask(l, window); err != nil {
			return r, err
		}
	}
	begin := time.Now()
	for time.Since(begin) < d {
		idle := true
		for _, s := range all {
			n, size, err := s.answers()
			if err != nil {
				return r, err
			}
			if n == 0 {
				continue
			}
			idle = false
			r.answers, r.bytes = r.answers+n, size
			if err := s.ask(l, n); err != nil {
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

func connect(to netip.AddrPort) (*stream, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect %s: %w", to, err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &stream{fd: fd, in: make([]byte, 256<<10)}, nil
}

// ask writes the next n queries.
func (s *stream) ask(l *load, n int) error {
	for range n {
		q := l.query()
		s.out = binary.BigEndian.AppendUint16(s.out, uint16(len(q)))
		s.out = append(s.out, q...)
	}
	return s.flush()
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

// answers reads what is there, and returns the number of whole answers and the
// length of the last.
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
