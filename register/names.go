package register

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
)

const maxLabel = 63 // octets: RFC 1035 section 2.3.4

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
