package registry

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rollcall-dns/rollcall/internal/srvname"
)

// Bounds of metadata, which is published as one TXT record per instance.
const (
	maxMetaPair  = 255  // octets of key=value: one character-string (RFC 6763 section 6.1)
	maxMetaTotal = 1300 // octets of all pairs with their lengths: RFC 6763 section 6.2 does not recommend more
)

// normal checks everything in in except its key. It returns in with defaults and in
// canonical form, or a *FieldError. One malformed target spoils a whole record set for
// clients (Go's LookupSRV refuses the set), so everything is checked here.
func (c *Config) normal(in Instance) (Instance, error) {
	host, err := CheckHost(in.Host)
	if err != nil {
		return in, err
	}
	in.Host = host
	if in.Port == 0 {
		return in, &FieldError{"port", "0", "must be 1 to 65535"}
	}
	if in.Lease == 0 {
		in.Lease = c.Lease.Default
	}
	if in.Lease < c.Lease.Min || in.Lease > c.Lease.Max {
		return in, &FieldError{"lease", in.Lease.String(), fmt.Sprintf("must be between %v and %v", c.Lease.Min, c.Lease.Max)}
	}
	half := (in.Lease / 2).Truncate(time.Second)
	switch {
	case in.TTL == 0:
		in.TTL = min(c.TTL, half)
	case in.TTL < time.Second || in.TTL%time.Second != 0:
		return in, &FieldError{"ttl", in.TTL.String(), "must be whole seconds, at least 1s"}
	case in.TTL > half:
		return in, &FieldError{"ttl", in.TTL.String(), fmt.Sprintf(
			"must be at most half the lease, %v, or clients would remember the instance longer than it lives: shorten the ttl or lengthen the lease", half)}
	}
	// Incarnations are times or small counters. After one far in the future, the next
	// process would have no higher one.
	if limit := uint64(time.Now().Add(aheadAtMost).UnixNano()); in.Incarnation > limit {
		return in, &FieldError{
			"incarnation", strconv.FormatUint(in.Incarnation, 10),
			"must be no later than tomorrow, in nanoseconds since 1970: give the time when the process began, in any unit down to nanoseconds, or a counter",
		}
	}
	if len(in.Meta) == 0 {
		in.Meta = nil
	}
	return in, CheckMeta(in.Meta)
}

// aheadAtMost is how far in the future the time in an incarnation may be.
const aheadAtMost = 24 * time.Hour

// CheckHost returns h in canonical form: an IP literal as netip writes it, or a
// lower-case host name with final dot.
func CheckHost(h string) (string, error) {
	bad := func(problem string) (string, error) { return "", &FieldError{"host", h, problem} }
	if a, err := netip.ParseAddr(h); err == nil {
		a = a.Unmap() // ::ffff:10.0.0.7 is published as A
		switch {
		case a.Zone() != "":
			return bad("an address with a zone cannot be published in DNS")
		case a.IsUnspecified():
			return bad("is no address that a client can reach")
		case a.IsMulticast():
			return bad("a multicast address cannot be called")
		case a.IsLinkLocalUnicast(): // RFC 3927, RFC 4291 section 2.5.6
			return bad("a link-local address is another host on each link: give an address that every client reaches")
		case a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240): // RFC 1122 section 3.2.1.3, RFC 1112 section 4
			return bad("no host has an address in 0.0.0.0/8 or 240.0.0.0/4, which is reserved, nor is a broadcast one")
		}
		return a.String(), nil
	}
	if h == "" {
		return bad("must be an IP address or a host name")
	}
	if strings.ContainsAny(h, ":/[]") {
		return bad("must be an IP address or a host name alone, without port, brackets or URL")
	}
	name := asciiLower(strings.TrimSuffix(h, "."))
	if len(name) > 253 {
		return bad("must have at most 253 characters")
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if problem := srvname.LabelProblem(label); problem != "" {
			return bad(fmt.Sprintf("must be an IP address or a host name: label %q %s", label, problem))
		}
		last = label
	}
	// The last label of a host name is not numeric (RFC 1123 section 2.1): 10.0.0.300 is a
	// mistyped address and not a name. inet_aton also takes numbers that begin with 0x.
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "" {
		return bad("looks like an IP address but is not one")
	}
	if last == name {
		return bad(fmt.Sprintf("has only one label, which clients would look for in their own domains or at the top of DNS: give the full name, like %s.example.com, or an address", name))
	}
	return name + ".", nil
}

// asciiLower folds the letters that DNS folds (RFC 4343 section 3). strings.ToLower would
// turn the Kelvin sign into a k.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// CheckMeta returns a *FieldError unless m can be published as TXT (RFC 6763
// section 6.4).
func CheckMeta(m map[string]string) error {
	total := 0
	for k, v := range m {
		if k == "" {
			return &FieldError{"meta", k, "a key must not be empty"}
		}
		for _, c := range []byte(k) {
			if c < 0x20 || c > 0x7e || c == '=' {
				return &FieldError{"meta", k, "a key must be printable ASCII without ="}
			}
		}
		if !utf8.ValidString(v) {
			return &FieldError{"meta", k, "the value must be UTF-8"}
		}
		n := len(k) + 1 + len(v)
		if n > maxMetaPair {
			return &FieldError{"meta", k, fmt.Sprintf("key=value must have at most %d octets, has %d", maxMetaPair, n)}
		}
		total += 1 + n
	}
	if total > maxMetaTotal {
		return &FieldError{"meta", fmt.Sprintf("%d keys", len(m)), fmt.Sprintf("must have at most %d octets in all, has %d", maxMetaTotal, total)}
	}
	// Keys are compared without regard to case (RFC 6763 section 6.4).
	if len(m) > 1 {
		seen := make(map[string]string, len(m))
		for k := range m {
			low := strings.ToLower(k)
			if _, dup := seen[low]; dup {
				return &FieldError{"meta", low, "two keys differ only in case"}
			}
			seen[low] = k
		}
	}
	return nil
}
