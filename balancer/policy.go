package balancer

import (
	"fmt"
	"slices"
	"strings"
)

// policies are the built-in ones by name.
func policies() map[string]Policy {
	return map[string]Policy{
		"hash":                 Hash,
		"least_conn":           LeastConn,
		"p2c":                  P2C,
		"random":               Random,
		"round_robin":          RoundRobin,
		"weighted_random":      WeightedRandom,
		"weighted_round_robin": WeightedRoundRobin,
	}
}

// Names lists the policies that ByName knows, sorted.
func Names() []string {
	var names []string
	for name := range policies() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ByName returns the policy that a configuration file calls name.
func ByName(name string) (Policy, error) {
	if p, ok := policies()[name]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("balancer: policy %q: unknown, use one of %s", name, strings.Join(Names(), ", "))
}
