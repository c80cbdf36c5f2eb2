package zone

import "github.com/miekg/dns"

// version is the whole zone at one revision: immutable.
type version struct {
	revision uint64
	soa      *dns.SOA
	services list[*service] // those published
	members  int
	listing  *listing
	names    [2]int // services by protocol: TCP, UDP
	hosts    [2]int // of these, those with addresses

	addresses list[*address] // of a reverse zone, which has no services
}

// find returns the service of that name, nil if nothing of it is published.
func (v *version) find(udp bool, name []byte) *service {
	key := make([]byte, 0, 32)
	key = append(append(append(key, '_'), name...), "._tcp"...)
	if udp {
		copy(key[len(key)-3:], "udp")
	}
	s, _ := v.services.find(string(key))
	return s
}

// listing is the list of services as an answer, shared by all versions in which
// the services and the epoch are the same.
type listing struct {
	epoch uint64 // of the sample
	images
}

// count enters a service into the sums, or with -1 takes it out.
func (v *version) count(s *service, n int) {
	v.members += n * s.members.n
	v.names[btoi(s.udp())] += n
	if s.hosts() {
		v.hosts[btoi(s.udp())] += n
	}
}
