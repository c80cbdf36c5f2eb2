package view

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Seen is an instance with the servers that do not have it.
type Seen struct {
	Instance
	Missing []string `json:"missing_at,omitempty"`
}

// Comparison is what several servers say together.
type Comparison struct {
	Answers     []Answer `json:"answers"`
	Instances   []Seen   `json:"instances"`
	Differences []string `json:"differences,omitempty"` // each is a fault
	Notes       []string `json:"notes,omitempty"`       // worth knowing, and no fault
}

// key is what makes two records the same.
func (i Instance) key() string {
	return fmt.Sprint(i.Target, " ", i.Port, " ", i.Priority, " ", i.Weight)
}

// Compare finds where answers differ.
func Compare(answers []Answer) Comparison {
	c := Comparison{Answers: answers, Instances: []Seen{}}
	seen := map[string]*Seen{}
	var answered []Answer
	for _, a := range answers {
		if a.Error != "" {
			c.Differences = append(c.Differences, fmt.Sprintf("%s does not answer: %s", a.Server, a.Error))
			continue
		}
		for _, n := range a.Notes {
			c.Notes = append(c.Notes, a.Server+": "+n)
		}
		answered = append(answered, a)
		for _, in := range a.Instances {
			s := seen[in.key()]
			if s == nil {
				s = &Seen{Instance: in}
				seen[in.key()] = s
			}
			if len(s.Addrs) == 0 {
				s.Addrs = in.Addrs
			}
		}
	}
	for key, s := range seen {
		for _, a := range answered {
			if !slices.ContainsFunc(a.Instances, func(in Instance) bool { return in.key() == key }) {
				s.Missing = append(s.Missing, a.Server)
			}
		}
		c.Instances = append(c.Instances, *s)
	}
	slices.SortFunc(c.Instances, func(a, b Seen) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Weight, b.Weight))
	})
	c.rcodes(answered)
	c.sets()
	c.serials(answered)
	c.targets()
	return c
}

// rcodes notes servers that answer otherwise than the first, or fail.
func (c *Comparison) rcodes(answered []Answer) {
	for _, a := range answered {
		switch {
		case a.Rcode == "REFUSED":
			c.Differences = append(c.Differences, a.Server+" answers REFUSED: it is not responsible for the name; does it have to forward the zone to dnsd?")
		case a.Rcode != "NOERROR" && a.Rcode != "NXDOMAIN" && a.Rcode != "NODATA":
			c.Differences = append(c.Differences, fmt.Sprintf("%s answers %s", a.Server, a.Rcode))
		case a.Rcode != answered[0].Rcode:
			c.Differences = append(c.Differences, fmt.Sprintf("%s answers %s, and %s answers %s", a.Server, a.Rcode, answered[0].Server, answered[0].Rcode))
		}
	}
}

// sets notes instances that a server does not have.
func (c *Comparison) sets() {
	lacking := map[string]int{}
	for _, s := range c.Instances {
		for _, server := range s.Missing {
			lacking[server]++
		}
	}
	for _, a := range c.Answers {
		if n := lacking[a.Server]; n > 0 && a.Rcode == "NOERROR" {
			c.Differences = append(c.Differences, fmt.Sprintf("%s lacks %d of %d instances", a.Server, n, len(c.Instances)))
		}
	}
}

// serials notes servers that are behind. That is no fault: a cache may be, for a TTL.
func (c *Comparison) serials(answered []Answer) {
	var newest *uint32
	for _, a := range answered {
		// Serials go round: RFC 1982.
		if a.Serial != nil && (newest == nil || int32(*a.Serial-*newest) > 0) {
			newest = a.Serial
		}
	}
	for _, a := range answered {
		if a.Serial != nil && *a.Serial != *newest {
			c.Notes = append(c.Notes, fmt.Sprintf("%s is %d changes behind", a.Server, *newest-*a.Serial))
		}
	}
}

// targets notes instances that no client can reach.
func (c *Comparison) targets() {
	for _, s := range c.Instances {
		switch {
		case s.Target == ".":
			c.Notes = append(c.Notes, `the target "." means that the service is not offered`)
		case len(s.Addrs) == 0:
			c.Differences = append(c.Differences, fmt.Sprintf("no server has an address of %s", s.Target))
		}
	}
}

// NotFound says whether all servers answer that there is no such service.
func (c *Comparison) NotFound() bool {
	return !slices.ContainsFunc(c.Answers, func(a Answer) bool { return a.Rcode != "NXDOMAIN" && a.Rcode != "NODATA" })
}

// Addresses are where an instance can be reached, as host:port.
func (i Instance) Addresses() string {
	var all []string
	for _, a := range i.Addrs {
		all = append(all, net.JoinHostPort(a, strconv.Itoa(int(i.Port))))
	}
	return strings.Join(all, " ")
}
