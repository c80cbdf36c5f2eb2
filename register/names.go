package register

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
)

const maxLabel = 63 // RFC 1035 section 2.3.4

// checkService says what is wrong with a service name and how to write it.
func checkService(s string) error {
	if s == "" {
		return errors.New(`write the name as in DNS, without the zone, such as "_math._tcp"`)
	}
	name, proto, ok := strings.Cut(s, ".")
	switch {
	case s != strings.ToLower(s):
		return fmt.Errorf("it must be lower case: %q", strings.ToLower(s))
	case !ok && validLabel(strings.TrimPrefix(s, "_")):
		return fmt.Errorf("the protocol is missing: %q", "_"+strings.TrimPrefix(s, "_")+"._tcp")
	case !strings.HasPrefix(name, "_"):
		return errors.New(`write the name as in DNS, with underscores, such as "_math._tcp"`)
	case proto != "_tcp" && proto != "_udp":
		if head, zone, more := strings.Cut(proto, "."); more && (head == "_tcp" || head == "_udp") {
			return fmt.Errorf("leave the zone %q out: dnsd has it, and the name is %q", zone, name+"."+head)
		}
		return fmt.Errorf("the protocol is %q: _tcp and _udp are known", proto)
	case len(name) > maxLabel:
		return fmt.Errorf("%q has %d characters, and a label of DNS at most %d (RFC 1035)", name, len(name), maxLabel)
	case !validLabel(name[1:]):
		return fmt.Errorf("%q: use letters, digits and inner hyphens behind the underscore", name)
	}
	return nil
}

func validLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// ownHost is the address that this machine uses to reach the hook, if the hook is
// given by address, else the one that it uses for other networks. It sends nothing.
// Without an address it is the machine's name.
func ownHost(hook string) string {
	target := "192.0.2.1" // a documentation prefix (RFC 5737)
	if u, err := url.Parse(hook); err == nil {
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
			target = ip.String()
		} else if isLocalhost(u.Hostname()) {
			return "127.0.0.1"
		}
	}
	for _, t := range []string{target, "2001:db8::1"} { // RFC 3849
		c, err := net.Dial("udp", net.JoinHostPort(t, "9"))
		if err != nil {
			continue
		}
		defer c.Close()
		if own, ok := c.LocalAddr().(*net.UDPAddr); ok {
			return own.AddrPort().Addr().Unmap().WithZone("").String()
		}
	}
	name, _ := os.Hostname() // empty on failure: the id is the port then
	return name
}

func isLocalhost(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") // RFC 6761 section 6.3
}

// deriveID makes a label from a host and a port. A restart makes the same label, and
// another machine makes another.
func deriveID(host string, port uint16) string {
	name := strings.TrimSuffix(host, ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		name = ip.WithZone("").StringExpanded() // "::" would become two hyphens, or be lost at the front
	}
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			c = '-'
		}
		b.WriteByte(c)
	}
	label, suffix := strings.Trim(b.String(), "-"), strconv.Itoa(int(port))
	if label == "" {
		return "p" + suffix
	}
	if limit := maxLabel - len(suffix) - 1; len(label) > limit {
		h := fnv.New32a()
		h.Write([]byte(name))
		label = fmt.Sprintf("%s-%08x", strings.Trim(label[:limit-9], "-"), h.Sum32())
	}
	return label + "-" + suffix
}
