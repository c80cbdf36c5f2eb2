package nameserver

import (
	"cmp"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
)

// Stats are counts since Listen, summed over all loops when they are asked for.
type Stats struct {
	Answers []AnswerCount // those above zero, sorted

	Dropped    uint64 // packets without an answer: responses, less than a header
	Limited    uint64 // answers replaced by TC or BADCOOKIE because of RateLimit
	Truncated  uint64 // answers with TC
	Sampled    uint64 // answers that hold a weighted sample of their record set
	Failed     uint64 // SERVFAIL for a fault of ours
	Panics     uint64 // those of Failed that were a panic
	SendErrors uint64 // UDP answers that the system did not send
	TSIGErrors uint64 // requests with a wrong key, signature or time

	Conns        int    // TCP and TLS connections open now
	Accepted     uint64 // connections taken
	ConnsRefused uint64 // connections closed at once, because of TCPLimits
	SlowClients  uint64 // connections closed because the client did not read

	AXFR, IXFR       uint64 // transfers sent whole
	IXFRFallback     uint64 // those of AXFR that were asked for as IXFR
	TransfersRefused uint64
	TransfersFailed  uint64 // broken off
	Notifies         uint64 // NOTIFY acknowledged
	NotifyFailures   uint64 // NOTIFY given up

	Secondaries []SecondaryCount // the same by secondary, ordered by address

	// KernelDropped are packets that the kernel dropped because no loop took them in time.
	// KernelTells: it says how many. It does on Linux.
	KernelDropped uint64
	KernelTells   bool

	CertificateEnds time.Time // of DNS over TLS; zero: there is none

	Push push.Stats // of the sessions of clients that follow the zones

	// Latency holds how long answers over UDP took from the system call that
	// brought the query to the one that sent the answer, for one batch in 64;
	// on Linux only.
	Latency Latency
}

// AnswerCount is how often a kind of answer was given.
type AnswerCount struct {
	Transport string // "udp", "tcp", "tls"
	Type      string // "SRV"; "other" for types without records in a zone
	Rcode     string // "NOERROR"
	Count     uint64
}

// Latency is a histogram: Counts[i] took at most LatencyBounds[i], the last one
// longer.
type Latency struct {
	Counts [len(latencyBounds) + 1]uint64
	Sum    time.Duration
}

// latencyBounds reach from the work for one packet to a stall.
var latencyBounds = [...]time.Duration{
	5 * time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
}

// LatencyBounds returns the upper bounds of the buckets of Latency.
func LatencyBounds() []time.Duration { return slices.Clone(latencyBounds[:]) }

// The types that are counted by name. Place 0 is for all others.
var countedTypes = [...]uint16{
	0, dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT, dns.TypeSOA, dns.TypeNS,
	dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeHTTPS, dns.TypeDS, dns.TypeDNSKEY,
}

// The rcodes that are counted: NOERROR to NOTZONE, then BADVERS and BADCOOKIE.
var countedRcodes = [...]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, dns.RcodeBadVers, dns.RcodeBadCookie}

var transportNames = [...]string{overUDP: "udp", overTCP: "tcp", overTLS: "tls"}

// counters are one loop's counts. No other loop writes them, so that adding costs no
// cache miss.
type counters struct {
	answers [len(transportNames)][len(countedTypes)][len(countedRcodes)]atomic.Uint64

	dropped, limited, truncated, sampled, failed, panics, sendErrors, tsigErrors, transfersRefused atomic.Uint64

	latency    [len(latencyBounds) + 1]atomic.Uint64
	latencySum atomic.Int64

	refusalTold, failureTold atomic.Uint32 // the second of the last log line of its kind

	_ [64]byte // keeps the counts of the next loop out of this cache line
}

// answered counts one answer.
func (c *counters) answered(tr transport, qtype uint16, rcode int) {
	c.answers[tr][typePlace(qtype)][rcodePlace(rcode)].Add(1)
}

func typePlace(qtype uint16) int {
	switch qtype {
	case dns.TypeSRV:
		return 1
	case dns.TypeA:
		return 2
	case dns.TypeAAAA:
		return 3
	}
	for i, t := range countedTypes[1:] {
		if t == qtype {
			return i + 1
		}
	}
	return 0
}

func rcodePlace(rcode int) int {
	switch {
	case rcode == dns.RcodeBadVers:
		return len(countedRcodes) - 2
	case rcode == dns.RcodeBadCookie:
		return len(countedRcodes) - 1
	default:
		return rcode & 0xF % (len(countedRcodes) - 2)
	}
}

func (c *counters) took(d time.Duration) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	c.latency[i].Add(1)
	c.latencySum.Add(int64(d))
}

// addTo adds the counts to s; by holds the answers, by kind.
func (c *counters) addTo(s *Stats, by map[AnswerCount]uint64) {
	for tr := range c.answers {
		for t := range c.answers[tr] {
			for rc := range c.answers[tr][t] {
				if n := c.answers[tr][t][rc].Load(); n > 0 {
					by[AnswerCount{Transport: transportNames[tr], Type: typeName(t), Rcode: rcodeName(countedRcodes[rc])}] += n
				}
			}
		}
	}
	s.Dropped += c.dropped.Load()
	s.Limited += c.limited.Load()
	s.Truncated += c.truncated.Load()
	s.Sampled += c.sampled.Load()
	s.Failed += c.failed.Load()
	s.Panics += c.panics.Load()
	s.SendErrors += c.sendErrors.Load()
	s.TSIGErrors += c.tsigErrors.Load()
	s.TransfersRefused += c.transfersRefused.Load()
	for i := range c.latency {
		s.Latency.Counts[i] += c.latency[i].Load()
	}
	s.Latency.Sum += time.Duration(c.latencySum.Load())
}

func typeName(place int) string {
	if place == 0 {
		return "other"
	}
	return dns.TypeToString[countedTypes[place]]
}

func rcodeName(rcode int) string {
	if rcode == dns.RcodeBadVers {
		return "BADVERS" // miekg/dns calls 16 BADSIG, its meaning in TSIG
	}
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return strconv.Itoa(rcode)
}

// Stats sums the counts of all loops.
func (s *Server) Stats() Stats {
	var out Stats
	by := make(map[AnswerCount]uint64)
	for _, c := range s.counters {
		c.addTo(&out, by)
	}
	for k, n := range by {
		k.Count = n
		out.Answers = append(out.Answers, k)
	}
	slices.SortFunc(out.Answers, func(a, b AnswerCount) int {
		return cmp.Or(cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Rcode, b.Rcode))
	})
	out.Conns = s.conns.open()
	out.Accepted, out.ConnsRefused, out.SlowClients = s.conns.accepted.Load(), s.conns.refused.Load(), s.conns.slow.Load()
	out.Push = s.push.Stats()
	t := &s.transfers
	out.AXFR, out.IXFR, out.IXFRFallback = t.axfr.Load(), t.ixfr.Load(), t.fallback.Load()
	out.TransfersFailed = t.failed.Load()
	out.Notifies, out.NotifyFailures = t.notified.Load(), t.notifyFailed.Load()
	out.Secondaries = s.seconds.all()
	out.KernelDropped, out.KernelTells = kernelDrops(s.udp)
	if len(s.tls) > 0 {
		out.CertificateEnds = s.settings.Load().TLS.ends()
	}
	return out
}
