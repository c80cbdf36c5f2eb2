//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/rollcall-dns/rollcall/bench/internal/dnsload"
)

// seldom is the pause between two questions whose answers are timed.
const seldom = time.Millisecond

// delays asks a dnsd a question each millisecond, one after the other, and returns how long
// each answer took. The thread that asks goes before all else on its core, which is that of
// the generator.
func delays(to netip.AddrPort, span time.Duration) (all []time.Duration, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread must not end: the processes that were started on it would end with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20) // without the right to it, what is timed has some more noise
		defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0) }()
		all, err = timed(to, span)
	}()
	<-done
	return all, err
}

func timed(to netip.AddrPort, span time.Duration) ([]time.Duration, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return nil, fmt.Errorf("connect %s: %w", to, err)
	}
	most := unix.NsecToTimeval(time.Second.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &most); err != nil {
		return nil, err
	}
	var all []time.Duration
	buf := make([]byte, 64<<10)
	for n, began := 0, time.Now(); time.Since(began) < span; n++ {
		q := new(dns.Msg).SetQuestion(dnsload.ServiceName(n%dnsServices)+".svc.", dns.TypeSRV)
		q.SetEdns0(1232, false)
		wire, err := q.Pack()
		if err != nil {
			return nil, err
		}
		sent := time.Now()
		if _, err := unix.Write(fd, wire); err != nil {
			return nil, err
		}
		if _, err := unix.Read(fd, buf); err != nil {
			return nil, fmt.Errorf("no answer from %s: %w", to, err)
		}
		all = append(all, time.Since(sent))
		pause := unix.NsecToTimespec(seldom.Nanoseconds())
		_ = unix.Nanosleep(&pause, nil) // a signal ends it early
	}
	return all, nil
}
