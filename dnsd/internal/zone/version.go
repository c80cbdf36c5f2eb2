package zone

import "github.com/miekg/dns"

// version is the whole zone at one revision: immutable.
type version struct {
	revision uint64
	loads    uint64 // how often the zone was loaded before: see Since
	soa      *dns.SOA
	services list[*service] // those with a record
	members  int
	listing  *listing
	names    [2]int // services by protocol: TCP, UDP
	hosts    [2]int // of these, the ones with addresses

	addresses list[*address] // only in a reverse zone, which has no services
}

// find returns the service of that name, nil if it has no record.
func (v *version) find(udp bool, name []byte) *service {
	key := make([]byte, 0, 32)
	key = append(append(append(key, '_'), name...), "._tcp"...)
	if udp {
		copy(key[len(key)-3:], "udp")
	}
	s, _ := v.services.find(string(key))
	return s
}

// listing is the list of services as an answer. All versions with the same services
// and epoch share it.
type listing struct {
	epoch uint64 // of the sample
	images
}

// count adds a service to the sums, or removes it with n = -1.
func (v *version) count(s *service, n int) {
	v.members += n * s.members.n
	v.names[btoi(s.udp())] += n
	if s.hosts() {
		v.hosts[btoi(s.udp())] += n
	}
}

// Tests: reference_test.go.
