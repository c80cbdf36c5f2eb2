package nameserver

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var floodFor = flag.Duration("flood", 300*time.Millisecond, "how long the flood test floods")

// TestFloodLeavesMemoryFlatAndAnswers: under garbage, truncated packets, queries from
// several addresses, and TCP clients that ask without reading, memory and goroutines
// stay within bounds and proper queries are answered.
func TestFloodLeavesMemoryFlatAndAnswers(t *testing.T) {
	s := start(t, Config{
		Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: testZone(t, instances("_math._tcp", 1000)...)}},
		RateLimit: RateLimit{PerSecond: 50},
		TCP:       TCPLimits{Conns: 64, ConnsPerAddr: 48, Idle: 200 * time.Millisecond},
	}, writesWithin(200*time.Millisecond))
	addr := s.Addrs()[0]
	begin := heap()
	goroutines := runtime.NumGoroutine()
	f := startFlood(t, addr, wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, edns(1232)))

	end := time.NewTimer(*floodFor)
	defer end.Stop()
	var worst uint64
	most, asked := 0, 0
	for flooding := true; flooding; asked++ {
		select {
		case <-end.C:
			flooding = false
		default:
		}
		c := dns.Client{Net: "tcp", Timeout: 10 * time.Second}
		if r, _, err := c.Exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), addr.String()); err == nil && len(r.Answer) != 1 {
			t.Errorf("wrong answer under flood: %v", r)
		}
		worst, most = max(worst, heap()), max(most, runtime.NumGoroutine())
	}
	f.end()

	// 64 connections of at most 100 KiB each, the loops' buffers, and the flood's own.
	if worst > begin+32<<20 {
		t.Errorf("heap grew from %d to %d KiB", begin>>10, worst>>10)
	}
	if most > goroutines+64+26+10 {
		t.Errorf("%d goroutines, %d before", most, goroutines)
	}
	for _, network := range []string{"udp", "tcp"} {
		eventually(t, "a proper answer over "+network, func() bool {
			c := dns.Client{Net: network, Timeout: time.Second}
			r, _, err := c.Exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), addr.String())
			return err == nil && len(r.Answer) == 1
		})
	}
	st := s.Stats()
	if st.Panics != 0 || st.Failed != 0 {
		t.Errorf("%d panics, %d failures", st.Panics, st.Failed)
	}
	var answers uint64
	for _, a := range st.Answers {
		answers += a.Count
	}
	t.Logf("%d answers, %d limited, %d dropped, %d connections taken, %d refused, %d slow; heap %d -> %d KiB; %d questions beside",
		answers, st.Limited, st.Dropped, st.Accepted, st.ConnsRefused, st.SlowClients, begin>>10, worst>>10, asked)
	if answers == 0 || st.Accepted == 0 {
		t.Error("no flood")
	}
}

// flood is the clients of a flood.
type flood struct {
	t     *testing.T
	to    netip.AddrPort
	query []byte
	stop  atomic.Bool
	wg    sync.WaitGroup
}

// startFlood sends, until end, from six addresses over UDP and over 20 TCP connections.
func startFlood(t *testing.T, to netip.AddrPort, query []byte) *flood {
	f := &flood{t: t, to: to, query: query}
	for i := range byte(2) {
		f.wg.Go(func() { f.udp(i, f.garbage) })
		f.wg.Go(func() { f.udp(10+i, f.bent) })
		f.wg.Go(func() { f.udp(20+i, func(*rand.Rand, []byte) []byte { return query }) })
	}
	for range 20 {
		f.wg.Go(f.tcp)
	}
	return f
}

func (f *flood) end() {
	f.stop.Store(true)
	f.wg.Wait()
}

// udp sends packets. Every client has its own address: loopback comes no closer to
// forged sources.
func (f *flood) udp(client byte, packet func(rnd *rand.Rand, buf []byte) []byte) {
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 1, client, 1)}, net.UDPAddrFromAddrPort(f.to))
	if err != nil {
		f.t.Error(err)
		return
	}
	defer c.Close()
	rnd := rand.New(rand.NewPCG(uint64(client), 0))
	buf := make([]byte, 2048)
	// Bounded, so that the server gets some of the machine.
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for !f.stop.Load() {
		for range 50 {
			c.Write(packet(rnd, buf))
		}
		<-pace.C
	}
}

func (f *flood) garbage(rnd *rand.Rand, buf []byte) []byte {
	n := rnd.IntN(600)
	for i := range n {
		buf[i] = byte(rnd.Uint32())
	}
	return buf[:n]
}

// bent is a query that was cut, and in which perhaps one bit was changed.
func (f *flood) bent(rnd *rand.Rand, buf []byte) []byte {
	n := copy(buf, f.query[:rnd.IntN(len(f.query)+1)])
	if n > 0 && rnd.IntN(2) == 0 {
		buf[rnd.IntN(n)] ^= 1 << rnd.IntN(8)
	}
	return buf[:n]
}

// tcp asks and never reads. When the server closes the connection, it dials again.
func (f *flood) tcp() {
	framed := bytes.Repeat(frame(f.query), 500)
	for !f.stop.Load() {
		c, err := net.Dial("tcp", f.to.String())
		if err != nil {
			continue
		}
		c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		for !f.stop.Load() {
			if _, err := c.Write(framed); err != nil {
				break
			}
		}
		c.Close()
	}
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
