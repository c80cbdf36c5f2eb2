//go:build linux

package main

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
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// echo is the ceiling: it answers every query on addr, UDP and TCP, with the
// bytes read from standard input in hex, after putting in the ID. It never looks at
// the question.
func echo(addr string) error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	answer, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
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
	return echoUDP(addr, answer)
}

// echoUDP answers datagrams in batches.
func echoUDP(addr string, answer []byte) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	fd, err := socket()
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, sockaddr(to)); err != nil {
		return fmt.Errorf("bind %s: %w", addr, err)
	}
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

// pinThread keeps the calling goroutine on one core.
func pinThread(core int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(0, &set)
}

// cpuTime is the processor time of a process and of its running children, which
// NSD has.
func cpuTime(pid int) (time.Duration, error) {
	var total time.Duration
	for _, p := range family(pid) {
		d, err := cpuOf(p)
		if err != nil && p == pid {
			return 0, err
		}
		total += d
	}
	return total, nil
}

// cpuOf adds user and system time of /proc/PID/stat: fields 14 and 15 in ticks.
func cpuOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces: count from after it.
	_, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, syscall.EINVAL
	}
	var user, system int64
	if _, err := fmt.Sscan(fields[11], &user); err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(fields[12], &system); err != nil {
		return 0, err
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	return time.Duration(user+system) * tick, nil
}
