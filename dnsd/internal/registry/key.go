package registry

import (
	"cmp"
	"fmt"
	"strings"
)

// Key names an instance: Service is "_math._tcp", ID is "a1".
type Key struct{ Service, ID string }

// String is "_math._tcp/a1".
func (k Key) String() string { return k.Service + "/" + k.ID }

// Compare orders keys by service, then id.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Service, o.Service), cmp.Compare(k.ID, o.ID))
}

// NewKey checks a service and an id, and makes a Key of them. Nothing else turns text
// into a Key.
//
// Errors: *FieldError.
func NewKey(service, id string) (Key, error) {
	k := Key{service, id}
	return k, k.check()
}

// ParseKey is NewKey for the form that String writes.
func ParseKey(s string) (Key, error) {
	service, id, ok := strings.Cut(s, "/")
	if !ok {
		return Key{}, &FieldError{"instance", s, "must be service/id, like _math._tcp/a1"}
	}
	return NewKey(service, id)
}

func (k Key) check() error {
	if err := CheckService(k.Service); err != nil {
		return err
	}
	return CheckID(k.ID)
}

// CheckID returns a *FieldError unless id is one lower-case LDH label
// (RFC 1123 section 2.1).
func CheckID(id string) error {
	if problem := labelProblem(id); problem != "" {
		return &FieldError{"id", id, problem}
	}
	return nil
}

// CheckService returns a *FieldError unless s is _name._tcp or _name._udp in lower
// case, with a name of letters, digits and inner hyphens. With its underscore it is
// one label, of at most 63 octets; RFC 2782 has no other limit. The 15 characters
// of RFC 6335 section 5.1 are for names that are to be registered with IANA.
func CheckService(s string) error {
	const shape = "must be _name._tcp or _name._udp, like _math._tcp"
	name, proto, ok := strings.Cut(s, ".")
	if !ok || (proto != "_tcp" && proto != "_udp") || !strings.HasPrefix(name, "_") {
		return &FieldError{"service", s, shape}
	}
	problem := labelProblem(name[1:])
	switch {
	case name == "_":
		problem = "needs a name after the underscore"
	case len(name) > maxLabel:
		problem = fmt.Sprintf("the name must have at most %d characters after the underscore, has %d", maxLabel-1, len(name)-1)
	}
	if problem != "" {
		return &FieldError{"service", s, problem}
	}
	return nil
}

const maxLabel = 63 // octets: RFC 1035 section 2.3.4

// labelProblem says why s is not one lower-case LDH label; "" when it is.
func labelProblem(s string) string {
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
