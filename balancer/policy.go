package balancer

import (
	"fmt"
	"slices"
	"strings"
)

// policies returns the built-in policies that have a name.
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

// Names returns the names of the policies that ByName knows, sorted.
func Names() []string {
	var names []string
	for name := range policies() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ByName returns the policy with this name, for configuration files and flags.
func ByName(name string) (Policy, error) {
	if p, ok := policies()[name]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("balancer: policy %q: unknown, use one of %s", name, strings.Join(Names(), ", "))
}
