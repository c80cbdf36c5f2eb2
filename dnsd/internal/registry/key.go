package registry

import (
	"cmp"
	"strings"

	"github.com/rollcall-dns/rollcall/internal/srvname"
)

// Key names an instance: Service is "_math._tcp", ID is "a1".
type Key struct{ Service, ID string }

// String is "_math._tcp/a1".
func (k Key) String() string { return k.Service + "/" + k.ID }

// Compare orders keys by service, then id.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Service, o.Service), cmp.Compare(k.ID, o.ID))
}

// NewKey checks a service and an id, and returns their Key. Text becomes a Key only here.
//
// Errors: *FieldError.
func NewKey(service, id string) (Key, error) {
	k := Key{service, id}
	return k, k.check()
}

// ParseKey is NewKey for the form that String returns.
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

// CheckID returns a *FieldError unless id is one lower-case label (RFC 1123 section
// 2.1).
func CheckID(id string) error {
	if problem := srvname.LabelProblem(id); problem != "" {
		return &FieldError{"id", id, problem}
	}
	return nil
}

// CheckService returns a *FieldError unless s is _name._tcp or _name._udp in lower case,
// as package srvname says.
func CheckService(s string) error {
	if err := srvname.CheckService(s); err != nil {
		return &FieldError{"service", s, err.Error()}
	}
	return nil
}
