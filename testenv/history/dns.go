package history

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// queryTime bounds one question over UDP. It is asked once: what is lost counts.
const queryTime = 2 * time.Second

// query asks DNS for the TXT record of an instance.
func (r *Recorder) query(ctx context.Context, o *Op) {
	o.Outcome = Refused
	m := new(dns.Msg)
	m.SetQuestion(o.ID+"."+r.cfg.Service+"."+r.cfg.Zone, dns.TypeTXT)
	m.SetEdns0(1232, false)
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	conn, err := r.cfg.Dial(ctx, "udp", r.cfg.DNS[o.At])
	if err != nil {
		o.Cause = err.Error()
		return
	}
	defer conn.Close()
	c := dns.Client{Timeout: queryTime}
	answer, _, err := c.ExchangeWithConnContext(ctx, m, &dns.Conn{Conn: packets{conn}})
	switch {
	case err != nil:
		o.Cause = err.Error()
		return
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		o.Cause = dns.RcodeToString[answer.Rcode]
		return
	}
	o.Outcome = Done
	for _, rr := range answer.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			o.Found = true
			for _, s := range txt.Txt {
				if v := valueOf(s); v != "" {
					o.Seen.Value = v
				}
			}
		}
	}
}

// packets tells package dns that a connection is of datagrams, whatever Config.Dial has
// put around it.
type packets struct{ net.Conn }

func (c packets) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := c.Read(p)
	return n, c.RemoteAddr(), err
}

func (c packets) WriteTo(p []byte, _ net.Addr) (int, error) { return c.Write(p) }

// A sampler transfers the zone from all dnsd at once, again and again.
type sampler struct {
	r         *Recorder
	mu        sync.Mutex // guards transfers
	transfers []Transfer
}

func (s *sampler) run(ctx context.Context) {
	for ctx.Err() == nil {
		s.r.turn.RLock()
		var all sync.WaitGroup
		for i := range s.r.cfg.DNS {
			all.Go(func() {
				// A dnsd that is away sends none. Finish asks all.
				if t, err := s.r.transfer(ctx, i); err == nil {
					s.mu.Lock()
					s.transfers = append(s.transfers, t)
					s.mu.Unlock()
				}
			})
		}
		all.Wait()
		s.r.turn.RUnlock()
		select {
		case <-time.After(s.r.cfg.Sample):
		case <-ctx.Done():
		}
	}
}

// transfer is the zone by AXFR. The caller holds r.turn, or nothing else runs.
func (r *Recorder) transfer(ctx context.Context, at int) (Transfer, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	t := Transfer{At: at, Life: r.life}
	conn, err := r.cfg.Dial(ctx, "tcp", r.cfg.DNS[at])
	if err != nil {
		return t, err
	}
	defer conn.Close()
	m := new(dns.Msg)
	m.SetAxfr(r.cfg.Zone)
	x := dns.Transfer{Conn: &dns.Conn{Conn: conn}, ReadTimeout: queryTime, WriteTimeout: queryTime}
	messages, err := x.In(m, "")
	if err != nil {
		return t, err
	}
	for e := range messages {
		if e.Error != nil {
			err = e.Error
			continue // the channel has to be read to its end
		}
		for _, rr := range e.RR {
			t.Records = append(t.Records, rr.String())
			if soa, ok := rr.(*dns.SOA); ok {
				if len(t.Records) > 1 && soa.Serial != t.Serial {
					err = fmt.Errorf("history: the zone begins with serial %d and ends with %d", t.Serial, soa.Serial)
				}
				t.Serial = soa.Serial
			}
		}
	}
	if err == nil && len(t.Records) < 2 {
		err = errors.New("history: an empty zone")
	}
	t.Time = r.Now()
	return t, err
}

// Tests: recorder_test.go.
