// Package srvname has the rule for the names of services and instances, which dnsd
// checks on the way in and package register before its first request.
package srvname

import (
	"errors"
	"fmt"
	"strings"
)

const maxLabel = 63 // octets: RFC 1035 section 2.3.4

// CheckService returns nil if s is _name._tcp or _name._udp in lower case, with a name
// of letters, digits and inner hyphens. Otherwise the error says how to write it.
//
// The name and its underscore are one label. RFC 2782 has no other limit: the 15
// characters of RFC 6335 section 5.1 are for names that are registered with IANA.
func CheckService(s string) error {
	name, proto, dotted := strings.Cut(s, ".")
	bare := strings.TrimPrefix(name, "_")
	switch {
	case s == "":
		return errors.New(`is empty: write the name as in DNS, without the zone, such as "_math._tcp"`)
	case s != strings.ToLower(s):
		return fmt.Errorf("must be lower case: write %q", strings.ToLower(s))
	case !dotted && LabelProblem(bare) == "":
		return fmt.Errorf("has no protocol: write %q", "_"+bare+"._tcp")
	case bare == name:
		return errors.New(`must be _name._tcp or _name._udp, with the underscores, such as "_math._tcp"`)
	case proto != "_tcp" && proto != "_udp":
		if head, zone, more := strings.Cut(proto, "."); more && (head == "_tcp" || head == "_udp") {
			if zone == "" {
				return fmt.Errorf("must not end with a dot: write %q", name+"."+head)
			}
			return fmt.Errorf("must not have the zone %q, which dnsd adds: write %q", zone, name+"."+head)
		}
		return fmt.Errorf(`must be _name._tcp or _name._udp, such as "_math._tcp": the protocol is %q`, proto)
	case bare == "":
		return errors.New("needs a name after the underscore")
	case len(name) > maxLabel:
		return fmt.Errorf("must have at most %d characters after the underscore, has %d (RFC 1035)", maxLabel-1, len(bare))
	}
	if problem := LabelProblem(bare); problem != "" {
		return fmt.Errorf("after the underscore it %s", problem)
	}
	return nil
}

// LabelProblem says why s is not one lower-case label of letters, digits and inner
// hyphens (RFC 1123 section 2.1): a predicate such as "must be lower case". It is ""
// if s is one.
func LabelProblem(s string) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > maxLabel:
		return fmt.Sprintf("must have at most %d characters, has %d", maxLabel, len(s))
	case s[0] == '-' || s[len(s)-1] == '-':
		return "must not begin or end with a hyphen"
	}
	for _, c := range s {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		case 'A' <= c && c <= 'Z':
			return "must be lower case"
		default:
			return fmt.Sprintf("has %q: only a-z, 0-9 and - are allowed", c)
		}
	}
	return ""
}
