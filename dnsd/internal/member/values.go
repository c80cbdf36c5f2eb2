package member

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Peer is a member as it is listed in the store.
type Peer struct {
	// Key names one run of a member: another run has another key.
	Key string `json:"-"`
	// Self is true of the member that was asked.
	Self bool `json:"-"`

	Name        string `json:"name"`
	Address     string `json:"address"`     // what other members dial: "10.0.0.1:8054"
	Hook        string `json:"hook"`        // the URL of its hook, for people
	Certificate string `json:"certificate"` // SHA-256 of the certificate of its peer listener, in hexadecimal
	Version     string `json:"version"`     // of its dnsd
	// Knows are the words for what it knows of instances, beyond the first release: see words.
	Knows string `json:"knows,omitempty"`
	// Life is the one of which it has seen a writer alive.
	Life life `json:"life,omitzero"`

	created int64
}

// words are what this release knows of instances and the first one did not, with a space
// between them. A member that lacks a word ignores the field, and publishes an instance that
// has it as if it had not. No decision depends on them: they are shown to operators.
const words = "drain" // registry.Instance.Drain

// meta is the value of P/meta. The first member writes it, and each writer its settings.
type meta struct {
	Format   int               `json:"format"`
	Zone     string            `json:"zone"`
	Settings map[string]string `json:"settings,omitempty"`
}

// longestText bounds each text of a member's value.
const longestText = 1024

// parsePeer reads the value of P/member/SESSION.
func parsePeer(value []byte) (Peer, error) {
	var p Peer
	if err := parse(value, &p); err != nil {
		return Peer{}, err
	}
	for _, text := range []string{p.Name, p.Address, p.Hook, p.Certificate, p.Version, p.Knows} {
		if len(text) > longestText {
			return Peer{}, fmt.Errorf("has a text of %d octets; expected at most %d", len(text), longestText)
		}
	}
	if p.Name == "" {
		return Peer{}, errors.New("has no name")
	}
	return p, nil
}

// parseMeta reads the value of P/meta.
func parseMeta(value []byte) (*meta, error) {
	if err := checkFormat(value); err != nil {
		return nil, err
	}
	m := &meta{}
	if err := parse(value, m); err != nil {
		return nil, err
	}
	if m.Zone == "" {
		return nil, errors.New("has no zone")
	}
	return m, nil
}

// parseFence reads the value of P/f/SERVICE/ID.
func parseFence(k registry.Key, value []byte) (registry.Fence, error) {
	var v fence
	if err := parse(value, &v); err != nil {
		return registry.Fence{}, err
	}
	f, err := v.fence()
	switch {
	case err != nil:
		return f, err
	case f.Key != k:
		return f, fmt.Errorf("is of %s", f.Key)
	case f.Empty():
		return f, errors.New("remembers nothing")
	}
	return f, nil
}

// differing returns the names of the settings that differ, in order.
func differing(a, b map[string]string) []string {
	var names []string
	for name, v := range a {
		if w, ok := b[name]; !ok || v != w {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Tests: head_test.go, load_test.go.
