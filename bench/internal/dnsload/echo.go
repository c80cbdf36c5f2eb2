//go:build linux

package dnsload

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Echo is the ceiling: it answers every query on addr, UDP and TCP, with the bytes read
// from input in hex, after putting in the ID. It never looks at the question. It returns
// when that fails.
func Echo(addr string, input io.Reader) error {
	text, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	answer, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	fd, err := bound(addr)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr) // after UDP: what reaches it by TCP finds both
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go echoTCP(c, answer)
		}
	}()
	return echoUDP(fd, answer)
}

// bound opens a UDP socket at addr.
func bound(addr string) (int, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return 0, err
	}
	fd, err := socket()
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, sockaddr(to)); err != nil {
		return 0, fmt.Errorf("bind %s: %w", addr, err)
	}
	return fd, nil
}

// echoUDP answers datagrams in batches.
func echoUDP(fd int, answer []byte) error {
	// A connection to wait on, as dnsd does: the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "udp")
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	b := newBatcher(fd, true)
	var out [batch][]byte
	for i := range out {
		out[i] = append([]byte(nil), answer...)
		b.set(i, out[i])
		b.send[i].Hdr.Name = b.recv[i].Hdr.Name
		b.send[i].Hdr.Namelen = unix.SizeofSockaddrInet4
	}
	var failed error
	for failed == nil {
		err := raw.Read(func(uintptr) bool {
			n, err := b.receive(unix.MSG_DONTWAIT)
			if err != nil || n == 0 {
				failed = err
				return err != nil
			}
			for i := range n {
				out[i][0], out[i][1] = b.in[i][0], b.in[i][1]
			}
			failed = b.transmit(n)
			return true
		})
		if err != nil {
			return err
		}
	}
	runtime.KeepAlive(f)
	return failed
}

// echoTCP answers all queries of one read with one write.
func echoTCP(c net.Conn, answer []byte) {
	defer c.Close()
	in := make([]byte, 64<<10)
	var out []byte
	have := 0
	for {
		n, err := c.Read(in[have:])
		if err != nil {
			return
		}
		have += n
		rest := in[:have]
		out = out[:0]
		for len(rest) >= 2 {
			size := int(binary.BigEndian.Uint16(rest))
			if len(rest) < 2+size {
				break
			}
			out = binary.BigEndian.AppendUint16(out, uint16(len(answer)))
			out = append(out, rest[2], rest[3])
			out = append(out, answer[2:]...)
			rest = rest[2+size:]
		}
		have = copy(in, rest)
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// Tests: load_test.go.
