//go:build unix

package push

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// crowd is many clients that follow one service over sockets. They count the messages that
// come.
type crowd struct {
	server *Server
	world  *world
	ours   []net.Conn
	got    atomic.Int64
	wait   chan struct{}
	target atomic.Int64
	done   sync.WaitGroup
}

// newCrowd opens n sessions, with TLS or without. Their clients are in this process, too: a
// session has two files.
func newCrowd(t testing.TB, n int, private bool) *crowd {
	t.Helper()
	if files, ok := limit.Files(); ok && files < 2*n+100 {
		t.Skipf("%d files may be open, and %d sessions need twice as many", files, n)
	}
	w := newWorld(t, "svc.")
	for i := range 10 {
		w.put("_math._tcp", i)
	}
	c := &crowd{world: w, wait: make(chan struct{}, 1)}
	c.server = New(Config{Zones: []*zone.Zone{w.zone}, Limits: Limits{PerAddress: 2 * n}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	frame, err := dso.AppendFollow(nil, 7, "_math._tcp.svc.")
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		ours, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		to := Conn{Conn: theirs, From: netip.MustParseAddr("127.0.0.1")}
		if private {
			ours, to = shake(t, ours, theirs, nil)
		}
		c.ours = append(c.ours, ours)
		to.Buffered = frame
		if !c.server.Serve(to) {
			t.Fatal("no room for a session")
		}
	}
	ln.Close()
	t.Cleanup(func() {
		c.server.Close()
		for _, o := range c.ours {
			o.Close()
		}
		c.server.Wait()
		c.done.Wait()
	})
	return c
}

// read lets all clients read until their connections end.
func (c *crowd) read() {
	for _, o := range c.ours {
		c.done.Go(func() {
			in := bufio.NewReaderSize(o, 1024)
			for {
				var size [2]byte
				if _, err := io.ReadFull(in, size[:]); err != nil {
					return
				}
				if _, err := in.Discard(int(binary.BigEndian.Uint16(size[:]))); err != nil {
					return
				}
				if c.got.Add(1) == c.target.Load() {
					c.wait <- struct{}{}
				}
			}
		})
	}
}

// BenchmarkFanout is a change to a service that many follow, from Zone.Apply until all
// have it. The clients' reading is in the time of the processor. It needs two files for
// each session.
func BenchmarkFanout(b *testing.B) {
	for _, way := range []struct {
		over string
		n    int
	}{{"tcp", 100}, {"tls", 100}, {"tcp", 5000}, {"tls", 5000}} {
		n := way.n
		b.Run(fmt.Sprintf("over=%s/sessions=%d", way.over, n), func(b *testing.B) {
			c := newCrowd(b, n, way.over == "tls")
			firstSets(b, c)
			c.read()
			i := 100
			change := func() {
				// Two changes of one size: an instance comes, and goes.
				if i++; i%2 == 1 {
					c.world.put("_math._tcp", 100)
				} else {
					c.world.remove("_math._tcp", 100)
				}
			}
			var before syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			b.ResetTimer()
			k := 0
			for b.Loop() {
				k++
				c.target.Store(int64(k * n))
				change()
				<-c.wait
			}
			b.StopTimer()
			var after syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
			b.ReportMetric(float64(cpu.Microseconds())/float64(k)/float64(n), "cpu-us/session")
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(k), "ms/change")
		})
	}
}

// firstSets reads what each client is sent at first: a response and a SET.
func firstSets(t testing.TB, c *crowd) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for _, o := range c.ours {
		for range 2 {
			if _, err := io.ReadFull(o, buf[:2]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(o, buf[:binary.BigEndian.Uint16(buf)]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkUnrelatedChange is a change to a service that none of 1000 sessions follows.
func BenchmarkUnrelatedChange(b *testing.B) {
	for _, n := range []int{0, 1000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			c := newCrowd(b, n, false)
			firstSets(b, c)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if i++; i%2 == 1 {
					c.world.put("_other._tcp", 1)
				} else {
					c.world.remove("_other._tcp", 1)
				}
			}
		})
	}
}

// TestMemoryOfAnIdleSession: at most 8 KiB of heap and stacks. What the system has for the
// sockets is not counted, nor the client's TLS.
func TestMemoryOfAnIdleSession(t *testing.T) {
	const n, most = 500, 8 << 10
	if raceEnabled {
		t.Skip("the race detector needs memory of its own for each goroutine")
	}
	used := func() (heap, stacks uint64) {
		runtime.GC()
		runtime.GC() // what has a finalizer is freed by the second one
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, m.StackInuse
	}
	_, stacks := used() // those of the first crowd are kept for the second
	for _, over := range []string{"tcp", "tls"} {
		t.Run(over, func(t *testing.T) {
			heap, _ := used()
			c := newCrowd(t, n, over == "tls")
			firstSets(t, c)
			for i := range 5 { // pushes leave nothing behind
				c.world.put("_math._tcp", 100+i)
			}
			buf := make([]byte, 64)
			for i, o := range c.ours {
				if _, err := io.ReadFull(o, buf); err != nil {
					t.Fatal(err)
				}
				if client, ok := o.(*tls.Conn); ok {
					c.ours[i] = client.NetConn()
				}
			}
			allHeap, allStacks := used()
			each := (allHeap - heap + allStacks - stacks) / n
			t.Logf("%d octets each, with the client's end of the connection", each)
			if each > most {
				t.Errorf("an idle session has %d octets, expected at most %d", each, most)
			}
		})
	}
}
