package registry

import (
	"fmt"
	"math"
	"time"
)

// Record is an instance as members of a cluster write it: into the store that they share,
// and to each other. Its JSON may get more fields, and keeps those that it has.
type Record struct {
	Service     string            `json:"service"`
	ID          string            `json:"id"`
	Host        string            `json:"host"`
	Port        uint16            `json:"port"`
	Priority    uint16            `json:"priority"`
	Weight      uint16            `json:"weight"`
	TTL         Span              `json:"ttl"`
	Lease       Span              `json:"lease"`
	Meta        map[string]string `json:"meta,omitempty"`
	Incarnation uint64            `json:"incarnation,omitempty"`
	State       State             `json:"state"`
	Sticky      bool              `json:"sticky,omitempty"`
	Revision    uint64            `json:"revision"`
	// Behind is the priority that is published for a suspect; 0: it has no rank yet.
	Behind uint16 `json:"behind,omitempty"`
	// Drain is the instance's own. State is without it.
	Drain bool `json:"drain,omitempty"`
}

// NewRecord returns in as a Record, which shares its Meta.
func NewRecord(in *Instance) Record {
	return Record{
		Service: in.Service, ID: in.ID, Host: in.Host, Port: in.Port, Priority: in.Priority, Weight: in.Weight,
		TTL: Span(in.TTL), Lease: Span(in.Lease), Meta: in.Meta, Incarnation: in.Incarnation,
		State: in.State, Sticky: in.Sticky, Revision: in.Revision, Behind: in.behind, Drain: in.Drain,
	}
}

// Registration returns the instance without a check, for Register, which checks it.
func (c Record) Registration() Instance {
	return Instance{
		Key: Key{c.Service, c.ID}, Host: c.Host, Port: c.Port, Priority: c.Priority, Weight: c.Weight,
		TTL: time.Duration(c.TTL), Lease: time.Duration(c.Lease), Meta: c.Meta, Incarnation: c.Incarnation,
		State: c.State, Sticky: c.Sticky, Revision: c.Revision, behind: c.Behind, Drain: c.Drain,
	}
}

// Instance checks everything and returns the instance. What it accepts can be published.
//
// Errors: *FieldError.
func (c Record) Instance() (*Instance, error) {
	in := c.Registration()
	if err := in.Key.check(); err != nil {
		return nil, err
	}
	switch host, err := CheckHost(in.Host); {
	case err != nil:
		return nil, err
	case host != in.Host:
		return nil, &FieldError{"host", in.Host, "must be in canonical form, " + host}
	case in.Port == 0:
		return nil, &FieldError{"port", "0", "must be 1 to 65535"}
	case in.TTL < time.Second || in.TTL%time.Second != 0:
		return nil, &FieldError{"ttl", in.TTL.String(), "must be whole seconds, at least 1s"}
	case in.Lease < minLease || in.TTL > in.Lease/2:
		return nil, &FieldError{"lease", in.Lease.String(), fmt.Sprintf("must be at least %v, and at least twice the ttl", minLease)}
	case in.Lease > longestLease:
		return nil, &FieldError{"lease", in.Lease.String(), fmt.Sprintf("must be at most %v", longestLease)}
	case in.State > Drained:
		return nil, &FieldError{"state", in.State.String(), "must be up, suspect or drained"}
	case in.behind != 0 && in.State != Suspect:
		return nil, &FieldError{"behind", fmt.Sprint(in.behind), "is only for a suspect"}
	}
	if in.State == Unconfirmed {
		in.State = Up
	}
	if len(in.Meta) == 0 {
		in.Meta = nil
	}
	if err := CheckMeta(in.Meta); err != nil {
		return nil, err
	}
	return &in, nil
}

// longestLease bounds every lease, and with it every TTL, which is at most half of it: a
// TTL has 31 bits (RFC 2181 section 8). A lease of this length has an end that a
// time.Duration can have.
const longestLease = 2 * math.MaxInt32 * time.Second

// Span is a time.Duration that is "15s" in JSON.
type Span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%.40q is no length of time; expected one such as 15s", text)
	}
	*s = Span(d)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) {
	if int(s) >= len(stateWords) {
		return nil, fmt.Errorf("registry: %v has no word", s)
	}
	return []byte(stateWords[s]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *State) UnmarshalText(text []byte) error {
	for i, w := range stateWords {
		if w == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("%.40q is no state; expected up, unconfirmed, suspect or drained", text)
}
