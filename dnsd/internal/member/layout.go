package member

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// layout names the keys under a prefix. The package comment says what is in them.
type layout struct{ prefix string } // without a slash at its end

func (l layout) all() string                    { return l.prefix + "/" }
func (l layout) head() string                   { return l.prefix + "/head" }
func (l layout) meta() string                   { return l.prefix + "/meta" }
func (l layout) members() string                { return l.prefix + "/member/" }
func (l layout) spares() string                 { return l.prefix + "/spare/" }
func (l layout) member(session string) string   { return l.members() + session }
func (l layout) instance(k registry.Key) string { return l.prefix + "/i/" + k.Service + "/" + k.ID }
func (l layout) fence(k registry.Key) string    { return l.prefix + "/f/" + k.Service + "/" + k.ID }
func (l layout) spare(i int) string             { return fmt.Sprintf("%s%04d", l.spares(), i) }

// kind is what a key is for.
type kind uint8

const (
	otherKey kind = iota // of no one here
	headKey
	metaKey
	memberKey
	spareKey
	instanceKey
	fenceKey
)

// place is a key, read.
type place struct {
	kind    kind
	key     registry.Key // of an instance or a fence
	session string       // of a member
	spare   int
}

// read says what a key is for. An error says that it is in a place of ours, and cannot be
// one of ours.
func (l layout) read(key string) (place, error) {
	rest, ok := strings.CutPrefix(key, l.all())
	if !ok {
		return place{}, nil
	}
	dir, name, below := strings.Cut(rest, "/")
	switch {
	case rest == "head":
		return place{kind: headKey}, nil
	case rest == "meta":
		return place{kind: metaKey}, nil
	case !below:
		return place{}, nil
	case dir == "i", dir == "f":
		k, err := registry.ParseKey(name)
		if err != nil {
			return place{kind: kindOf[dir]}, err
		}
		return place{kind: kindOf[dir], key: k}, nil
	case dir == "member":
		if name == "" || strings.Contains(name, "/") {
			return place{kind: memberKey}, fmt.Errorf("%q is no session", name)
		}
		return place{kind: memberKey, session: name}, nil
	case dir == "spare":
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= mostSpares || l.spare(i) != key {
			return place{kind: spareKey}, fmt.Errorf("%q is no number of a spare key", name)
		}
		return place{kind: spareKey, spare: i}, nil
	}
	return place{}, nil
}

var kindOf = map[string]kind{"i": instanceKey, "f": fenceKey}

// Tests: head_test.go, load_test.go.
