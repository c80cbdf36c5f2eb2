// Package view asks DNS servers for the SRV records of a service, as a client would, and
// compares what they answer. It caches nothing and believes each server for itself:
// package resolver chooses among servers, and this one shows where they differ.
package view

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// VarDNS names the DNS servers in the environment, as for package resolver.
const VarDNS = "ROLLCALL_DNS"

const (
	udpSize = 1232 // octets: what passes every network without fragments (RFC 6891)
	// maxTargets bounds the targets that are asked for one by one, when the answer does
	// not have their addresses: a cache in between often leaves them out.
	maxTargets = 100
	// parallel is how many of these questions wait for an answer at a time.
	parallel = 8
	// maxServers bounds a list of servers: each is asked by its own goroutine.
	maxServers = 32
)

// Instance is one SRV record with the addresses of its target.
type Instance struct {
	Target   string   `json:"target"`
	Port     uint16   `json:"port"`
	Priority uint16   `json:"priority"`
	Weight   uint16   `json:"weight"`
	Addrs    []string `json:"addresses,omitempty"`
}

// Answer is what one server says.
type Answer struct {
	Server        string     `json:"server"`
	Rcode         string     `json:"rcode,omitempty"`
	Authoritative bool       `json:"authoritative"`
	Transport     string     `json:"transport,omitempty"`
	TTL           uint32     `json:"ttl"` // the lowest of the records
	Serial        *uint32    `json:"serial,omitempty"`
	Instances     []Instance `json:"instances"`
	Notes         []string   `json:"notes,omitempty"` // extended errors (RFC 8914)
	Millis        float64    `json:"milliseconds"`
	Error         string     `json:"error,omitempty"` // why there is no answer
}

// Servers reads a list of servers: the one given, else that of the environment, else
// that of the system.
func Servers(given string) (servers []string, from string, err error) {
	list, from := given, "-server"
	if list == "" {
		list, from = os.Getenv(VarDNS), VarDNS
	}
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r <= ' ' }) {
		s, ok := withPort(word, "53")
		if !ok {
			return nil, from, fmt.Errorf("%s: bad address %q; write IP:port such as 127.0.0.1:5300", from, word)
		}
		servers = append(servers, s)
	}
	if len(servers) > maxServers {
		return nil, from, fmt.Errorf("%s: %d servers; at most %d can be asked", from, len(servers), maxServers)
	}
	if len(servers) > 0 {
		return servers, from, nil
	}
	servers, err = System()
	return servers, SystemFile, err
}

// SystemFile has the DNS servers of the system.
const SystemFile = "/etc/resolv.conf"

// Elsewhere is the end of a message, after joint, about servers that were not named by the
// caller but come from [SystemFile]: dnsd itself was perhaps not asked.
func Elsewhere(joint, from string) string {
	if from != SystemFile {
		return ""
	}
	return fmt.Sprintf("%s%s names the servers that were asked: to ask dnsd itself, give -server, such as 127.0.0.1:5300, or set %s", joint, SystemFile, VarDNS)
}

// System reads the DNS servers of the system.
func System() (servers []string, err error) {
	conf, err := dns.ClientConfigFromFile(SystemFile)
	if err != nil || len(conf.Servers) == 0 {
		return nil, fmt.Errorf("%s names no DNS server; name one with -server or in %s", SystemFile, VarDNS)
	}
	for _, s := range conf.Servers[:min(len(conf.Servers), maxServers)] {
		servers = append(servers, net.JoinHostPort(s, conf.Port))
	}
	return servers, nil
}

// withPort completes an address.
func withPort(s, port string) (string, bool) {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return net.JoinHostPort(strings.Trim(s, "[]"), port), true
	}
	if host, p, err := net.SplitHostPort(s); err == nil {
		_, err := strconv.ParseUint(p, 10, 16)
		return s, host != "" && err == nil
	}
	return net.JoinHostPort(s, port), !strings.ContainsAny(s, "[]:/")
}

// Ask asks all servers at once for the SRV records of name, an absolute name.
func Ask(ctx context.Context, servers []string, name string) []Answer {
	answers := make([]Answer, len(servers))
	var all sync.WaitGroup
	for i, s := range servers {
		all.Go(func() { answers[i] = ask(ctx, s, name) })
	}
	all.Wait()
	return answers
}

// ask asks one server.
func ask(ctx context.Context, server, name string) Answer {
	a := Answer{Server: server, Instances: []Instance{}}
	begin := time.Now()
	m, transport, err := exchange(ctx, server, name, dns.TypeSRV)
	a.Millis = float64(time.Since(begin).Microseconds()) / 1000
	if err != nil {
		a.Error = err.Error()
		return a
	}
	a.Rcode, a.Authoritative, a.Transport = rcode(m), m.Authoritative, transport
	a.Notes = notes(m)
	first := true
	for _, rr := range m.Answer {
		srv, ok := rr.(*dns.SRV)
		if !ok { // a CNAME on the way
			continue
		}
		if first || srv.Hdr.Ttl < a.TTL {
			a.TTL, first = srv.Hdr.Ttl, false
		}
		a.Instances = append(a.Instances, Instance{
			Target: strings.ToLower(srv.Target), Port: srv.Port, Priority: srv.Priority, Weight: srv.Weight,
			Addrs: addresses(m.Extra, srv.Target),
		})
	}
	complete(ctx, server, a.Instances)
	a.Serial = serial(m)
	if a.Serial == nil && m.Rcode == dns.RcodeSuccess {
		if m, _, err := exchange(ctx, server, name, dns.TypeSOA); err == nil {
			a.Serial = serial(m)
		}
	}
	return a
}

// complete asks for the addresses that the answer does not have.
func complete(ctx context.Context, server string, instances []Instance) {
	var all sync.WaitGroup
	slots := make(chan struct{}, parallel)
	asked := 0
	for i := range instances {
		in := &instances[i]
		if len(in.Addrs) > 0 || in.Target == "." || asked == maxTargets {
			continue
		}
		asked++
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
				if m, _, err := exchange(ctx, server, in.Target, t); err == nil {
					in.Addrs = append(in.Addrs, addresses(m.Answer, in.Target)...)
				}
			}
		})
	}
	all.Wait()
}

var errForeign = errors.New("the answer is for another question: is this a DNS server?")

// exchange asks over UDP, and over TCP if the answer is truncated.
func exchange(ctx context.Context, server, name string, qtype uint16) (m *dns.Msg, transport string, err error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(udpSize, false)
	for _, transport = range []string{"udp", "tcp"} {
		c := dns.Client{Net: transport, UDPSize: udpSize, Timeout: maxWait}
		if m, _, err = c.ExchangeContext(ctx, q, server); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("no answer over %s in time", transport)
			}
			return nil, transport, err
		}
		if len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, name) || m.Question[0].Qtype != qtype {
			return nil, transport, errForeign
		}
		if !m.Truncated {
			break
		}
	}
	return m, transport, nil
}

// maxWait is for the socket: the context ends before.
const maxWait = time.Hour

// addresses are those of a target among records.
func addresses(records []dns.RR, target string) (addrs []string) {
	for _, rr := range records {
		if !strings.EqualFold(rr.Header().Name, target) {
			continue
		}
		switch rr := rr.(type) {
		case *dns.A:
			addrs = append(addrs, rr.A.String())
		case *dns.AAAA:
			addrs = append(addrs, rr.AAAA.String())
		}
	}
	return addrs
}

// serial is that of the SOA record in a message.
func serial(m *dns.Msg) *uint32 {
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			if soa, ok := rr.(*dns.SOA); ok {
				return &soa.Serial
			}
		}
	}
	return nil
}

// rcode is the name of the response code. NODATA is no code of the protocol (RFC 2308
// section 2.2), but it means something else than NOERROR.
func rcode(m *dns.Msg) string {
	switch name, ok := dns.RcodeToString[m.Rcode]; {
	case m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0:
		return "NODATA"
	case ok:
		return name
	}
	return fmt.Sprintf("RCODE%d", m.Rcode)
}

// notes are the extended errors of a message (RFC 8914).
func notes(m *dns.Msg) (notes []string) {
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			text := dns.ExtendedErrorCodeToString[e.InfoCode]
			if e.ExtraText != "" {
				text += ": " + e.ExtraText
			}
			notes = append(notes, fmt.Sprintf("extended error %d (%s)", e.InfoCode, text))
		}
	}
	return notes
}
