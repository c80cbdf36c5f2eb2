package member

import (
	"slices"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// position is where the store is. A writer must know all of it, because it is in the
// conditions of each transaction.
type position struct {
	life     registry.Life
	revision uint64  // of the last change, removals without space included
	head     int64   // kv.Pair.Modified of the head; 0: there is none
	spares   []spare // that are there, by number
	at       int64   // the store's revision up to which all this is known
}

// spare is a spare key that is there.
type spare struct {
	number  int
	created int64 // kv.Pair.Created
}

// clone returns a copy that shares nothing.
func (p position) clone() position {
	p.spares = slices.Clone(p.spares)
	return p
}

// below says whether it is before a revision of a life. Every life begins above all
// revisions that were seen before.
func (p *position) below(revision uint64, life registry.Life) bool {
	return p.revision < revision || p.revision == revision && p.life != life
}

// unchanged is the condition that no transaction of this life was done since. A commit
// changes the head. A removal without space cannot; it deletes the highest spare key.
func (p *position) unchanged(keys layout) []kv.Compare {
	all := []kv.Compare{{Key: keys.head(), Is: p.head}}
	if n := len(p.spares); n > 0 {
		top := p.spares[n-1]
		all = append(all, kv.Compare{Key: keys.spare(top.number), Created: true, Is: top.created})
	}
	return all
}

// Tests: journal_test.go, full_test.go, copy_test.go.
