package nameserver

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var floodFor = flag.Duration("flood", 300*time.Millisecond, "how long the flood test floods")

// Garbage, truncated packets, queries from many addresses of which most are
// limited, and TCP clients that ask without reading: memory and goroutines stay
// within bounds, and who asks properly is answered.
func TestFloodLeavesMemoryFlatAndAnswers(t *testing.T) {
	s := start(t, Config{
		Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: testZone(t, instances("_math._tcp", 1000)...)}},
		RateLimit: RateLimit{PerSecond: 50},
		TCP:       TCPLimits{Conns: 64, ConnsPerAddr: 48, Write: 200 * time.Millisecond, Idle: 200 * time.Millisecond},
	})
	addr := s.Addrs()[0].String()
	query := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, edns(1232))

	begin := heap()
	goroutines := runtime.NumGoroutine()
	var stop atomic.Bool
	var wg sync.WaitGroup
	flood := func(seed uint64, packet func(rnd *rand.Rand, buf []byte) []byte) {
		// Every client has an address of its own: the closest that loopback
		// comes to forged sources.
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 1, byte(seed), 1)}, net.UDPAddrFromAddrPort(s.Addrs()[0]))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		rnd := rand.New(rand.NewPCG(seed, 0))
		buf := make([]byte, 2048)
		// Bounded: a share of the machine stays for the server.
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for !stop.Load() {
			for range 50 {
				c.Write(packet(rnd, buf))
			}
			<-pace.C
		}
	}
	for i := range uint64(2) {
		wg.Go(func() {
			flood(i, func(rnd *rand.Rand, buf []byte) []byte { // garbage
				n := rnd.IntN(600)
				for i := range n {
					buf[i] = byte(rnd.Uint32())
				}
				return buf[:n]
			})
		})
		wg.Go(func() {
			flood(10+i, func(rnd *rand.Rand, buf []byte) []byte { // cut or bent queries
				n := copy(buf, query[:rnd.IntN(len(query)+1)])
				if n > 0 && rnd.IntN(2) == 0 {
					buf[rnd.IntN(n)] ^= 1 << rnd.IntN(8)
				}
				return buf[:n]
			})
		})
		wg.Go(func() { flood(20+i, func(*rand.Rand, []byte) []byte { return query }) })
	}
	for range 20 {
		wg.Go(func() {
			framed := bytes.Repeat(frame(query), 500)
			for !stop.Load() { // asks, never reads, is thrown out, comes back
				c, err := net.Dial("tcp", addr)
				if err != nil {
					continue
				}
				c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
				for !stop.Load() {
					if _, err := c.Write(framed); err != nil {
						break
					}
				}
				c.Close()
			}
		})
	}

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
		if r, _, err := c.Exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), addr); err == nil && len(r.Answer) != 1 {
			t.Errorf("wrong answer under flood: %v", r)
		}
		worst, most = max(worst, heap()), max(most, runtime.NumGoroutine())
	}
	stop.Store(true)
	wg.Wait()

	// 64 connections of at most 100 KiB each, the loops' buffers, and the flood's own.
	if worst > begin+32<<20 {
		t.Errorf("heap grew from %d to %d KiB", begin>>10, worst>>10)
	}
	if most > goroutines+64+26+10 {
		t.Errorf("%d goroutines, %d before", most, goroutines)
	}
	eventually(t, "a proper answer over UDP", func() bool {
		c := dns.Client{Timeout: time.Second}
		r, _, err := c.Exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), addr)
		return err == nil && len(r.Answer) == 1
	})
	eventually(t, "a proper answer over TCP", func() bool {
		c := dns.Client{Net: "tcp", Timeout: time.Second}
		r, _, err := c.Exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), addr)
		return err == nil && len(r.Answer) == 1
	})
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

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
