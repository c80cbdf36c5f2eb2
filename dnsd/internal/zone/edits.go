package zone

import "github.com/rollcall-dns/rollcall/dnsd/internal/registry"

// edits are the parts of a version that changes touched, as the last change left
// them. The version itself does not change.
type edits map[string]part

// take applies a change to the part of a key. It returns the part before and after,
// and whether this was the first change to it.
func (e edits) take(z content, v *version, key string, c *registry.Change) (before, after part, first bool) {
	before, taken := e[key]
	if !taken {
		before = z.find(v, key)
	}
	after = z.change(before, key, c.Old, c.New)
	e[key] = after
	return before, after, !taken
}

// Tests: journal_test.go, reference_test.go.
