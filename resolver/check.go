package resolver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// CheckService returns an error if a name cannot be that of a service, so that a client
// learns it before its first call. A name is "_service._proto.zone" (RFC 2782), or a name
// without underscores, under which other registries publish SRV records. The error names
// the mistake and the cure. A nil error does not mean that there is such a service: only
// its DNS servers know.
//
// This is not the rule for registering, which register and dnsd check: there a service is
// written without its zone, in lower case, and always with underscores.
func CheckService(name string) error {
	if why := serviceMistake(name); why != "" {
		return fmt.Errorf("service %q: %s", name, why)
	}
	return nil
}

// envServers is the environment variable that names the servers.
const envServers = "ROLLCALL_DNS"

// example is the name that errors show if no better one can be derived.
const example = "_math._tcp.svc"

// serviceMistake says what is wrong with a name, and the cure. It is "" for a good name.
func serviceMistake(name string) string {
	switch {
	case name == "":
		return fmt.Sprintf("it is empty: want an SRV name such as %q", example)
	case strings.Contains(name, "://"):
		_, rest, _ := strings.Cut(name, "://")
		rest, _, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		return "it is a URL: want an SRV name alone" + cure(rest)
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return address(net.JoinHostPort(strings.Trim(name, "[]"), "PORT"))
	}
	if host, port, err := net.SplitHostPort(name); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil || !strings.Contains(host, "_") {
			return address(name)
		}
		return "it ends with a port: ports of services come from DNS, and the port of a DNS server belongs to its address in Servers or " + envServers + cure(host)
	}
	for _, c := range name {
		if c != '.' && !inHostName(c) {
			return fmt.Sprintf("%q cannot be in it: want an SRV name such as %q", c, example)
		}
	}
	name = strings.TrimSuffix(name, ".")
	labels := strings.Split(name, ".")
	if slices.Contains(labels, "") {
		return "a label is empty, for there are two dots in a row or one before the first" + cure(strings.Join(slices.DeleteFunc(labels, func(l string) bool { return l == "" }), "."))
	}
	if _, err := canonicalName(name); err != nil {
		return err.Error()
	}
	return labelMistake(labels)
}

// labelMistake says what is wrong with the two labels of service and protocol.
func labelMistake(labels []string) string {
	marked := func(i int) bool { return i >= 0 && i < len(labels) && labels[i][0] == '_' }
	for i := range labels {
		if !marked(i) || !marked(i+1) {
			continue
		}
		if len(labels) == i+2 {
			return "the zone is missing" + cure(strings.Join(append(slices.Clone(labels), "svc"), "."))
		}
		return ""
	}
	// There may be a protocol, with or without its underscore.
	for i, l := range labels {
		proto := "_" + strings.TrimPrefix(strings.ToLower(l), "_")
		if proto != "_tcp" && proto != "_udp" {
			continue
		}
		if i == 0 {
			return fmt.Sprintf("the service before %s is missing: want an SRV name such as %q", l, example)
		}
		fixed := append([]string{"_" + strings.TrimPrefix(labels[i-1], "_"), proto}, labels[i+1:]...)
		if len(labels) == i+1 {
			fixed = append(fixed, "svc")
		}
		return "service and protocol begin with an underscore each (RFC 2782)" + cure(strings.Join(fixed, "."))
	}
	switch {
	case len(labels) == 1:
		return "it is one word: service, protocol and zone are wanted" + cure("_"+strings.TrimPrefix(labels[0], "_")+"._tcp.svc")
	case marked(0):
		return "the protocol is missing" + cure(strings.Join(slices.Insert(slices.Clone(labels), 1, "_tcp"), "."))
	}
	return ""
}

// cure says what to write: name, if that is a good one.
func cure(name string) string {
	if serviceMistake(name) != "" {
		return fmt.Sprintf(", such as %q", example)
	}
	return fmt.Sprintf(": write %q", name)
}

func address(addr string) string {
	return fmt.Sprintf("it is an address: want an SRV name such as %q, or give the address itself by resolver.Static(%q)", example, addr)
}

func inHostName(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// Check returns an error that names the field with a value that has no meaning, so that a
// mistake is found before the first question: each of Servers, or of those that
// ROLLCALL_DNS names instead, must be host or host:port. It does not find out whether there
// is such a host. To a Resolver with a Dial its Servers may be anything.
func (r *Resolver) Check() error {
	if len(r.Servers) == 0 {
		_, err := environment()
		return err
	}
	if r.Dial != nil {
		return nil
	}
	for i, server := range r.Servers {
		if err := checkServer(server); err != nil {
			return fmt.Errorf("server %d of Servers, %q: want host or host:port: %w", i, server, err)
		}
	}
	return nil
}

// checkServer returns an error if a DNS server is not written as host or host:port.
func checkServer(server string) error {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = strings.Trim(server, "[]"), "53" // as withPorts reads it
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q: want a number from 1 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if label == "" || strings.ContainsFunc(label, func(c rune) bool { return !inHostName(c) }) {
			return fmt.Errorf("host %q: want a name or an IP address", host)
		}
	}
	// RFC 1123 section 2.1: the last label of a name is not a number. So this is an address
	// that lacks a byte, or a port alone.
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return fmt.Errorf("host %q: neither a name nor an IP address", host)
	}
	return nil
}
