package registry

import (
	"slices"
	"strings"
)

// Span returns how many entries a list of a service needs in memory. A list of all
// services ("") needs all names, and the instances of one service at a time: it returns
// the number of services and the size of the largest.
func (r *Registry) Span(service string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if service != "" {
		if s := r.catalog.services[service]; s != nil {
			return len(s.entries)
		}
		return 0
	}
	largest := 0
	for _, s := range r.catalog.services {
		largest = max(largest, len(s.entries))
	}
	return len(r.catalog.services) + largest
}

// ServiceRevision returns the revision of the last change of a service; false if the
// service has no instance.
func (r *Registry) ServiceRevision(service string) (uint64, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := r.catalog.services[service]
	if s == nil {
		return 0, false
	}
	return s.revision, true
}

// Count is the number of instances of a service, in all and by [State], and how many of
// them have a reprieve.
type Count struct {
	Service              string
	Instances, Reprieved int
	States               [len(stateWords)]int32
}

// Census counts the instances of each service, the largest service first. It returns at
// most the given number of services. If there are more, one Count without a name
// follows with the sum of the others.
func (r *Registry) Census(most int) []Count {
	r.mu.RLock()
	counts := make([]Count, 0, len(r.catalog.services)+1)
	at := make(map[*service]int, len(r.reprieves))
	for e := range r.reprieves {
		at[e.service]++
	}
	for name, s := range r.catalog.services {
		counts = append(counts, Count{name, len(s.entries), at[s], s.states})
	}
	r.mu.RUnlock()
	slices.SortFunc(counts, func(a, b Count) int {
		if a.Instances != b.Instances {
			return b.Instances - a.Instances
		}
		return strings.Compare(a.Service, b.Service)
	})
	if len(counts) <= most {
		return counts
	}
	rest := Count{}
	for _, c := range counts[most:] {
		rest.Instances += c.Instances
		rest.Reprieved += c.Reprieved
		for i, n := range c.States {
			rest.States[i] += n
		}
	}
	return append(counts[:most], rest)
}
