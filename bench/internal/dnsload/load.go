//go:build linux

package dnsload

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

// Load is the generator: queries made ready, asked in a closed loop. One goroutine at a
// time uses it.
type Load struct {
	queries [][]byte
	next    int // the query to ask next
}

// Result is what one run of the load counted.
type Result struct {
	Answers, Lost int
	Bytes         int // of an answer
	Took          time.Duration
}

// ServiceName is the name of service n, without zone.
func ServiceName(n int) string { return fmt.Sprintf("_svc%03d._tcp", n) }

// New makes a load that asks for the first services of the zone "svc.", see ServiceName.
func New(services int) *Load {
	l := new(Load)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range min(services, names) {
		n := i
		if services > names {
			n = rnd.IntN(services)
		}
		m := new(dns.Msg).SetQuestion(ServiceName(n)+".svc.", dns.TypeSRV)
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

// UDP asks for d from the generator's core: each socket has window queries in flight, and
// an answer makes room for the next one. Queries without an answer for 100 ms count as
// lost and are asked again.
func (l *Load) UDP(to netip.AddrPort, d time.Duration) (Result, error) {
	if err := pinThread(GeneratorCore); err != nil {
		return Result{}, err
	}
	var all [sockets]*batcher
	var poll [sockets]unix.PollFd
	var r Result
	for i := range all {
		fd, err := socket()
		if err != nil {
			return Result{}, err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, sockaddr(to)); err != nil {
			return Result{}, fmt.Errorf("connect %s: %w", to, err)
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
				r.Lost += window
				if err := l.send(b, window); err != nil {
					return r, err
				}
			}
		}
	}
	r.Took = time.Since(begin)
	return r, nil
}

// exchange takes the answers that are there, and asks as many new queries.
func (l *Load) exchange(b *batcher, r *Result) (int, error) {
	n, err := b.receive(unix.MSG_DONTWAIT)
	if err != nil || n == 0 {
		return n, err
	}
	for i := range n {
		if b.in[i][3]&0xF != 0 || b.in[i][2]&0x80 == 0 || b.recv[i].Len < 100 {
			return n, fmt.Errorf("answer of %d octets, flags %x", b.recv[i].Len, b.in[i][2:4])
		}
	}
	r.Answers += n
	r.Bytes = int(b.recv[0].Len)
	return n, l.send(b, n)
}

// send asks the next n queries.
func (l *Load) send(b *batcher, n int) error {
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
func (l *Load) query() []byte {
	q := l.queries[l.next]
	if l.next++; l.next == len(l.queries) {
		l.next = 0
	}
	return q
}

// TCP asks for d over connections with window queries in flight on each, from the
// generator's core. It answers what one read brings with as many new queries in one write.
func (l *Load) TCP(to netip.AddrPort, d time.Duration) (Result, error) {
	if err := pinThread(GeneratorCore); err != nil {
		return Result{}, err
	}
	var r Result
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
			r.Answers, r.Bytes = r.Answers+n, size
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
	r.Took = time.Since(begin)
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
func (s *stream) ask(l *Load, n int) error {
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

// Tests: load_test.go.
