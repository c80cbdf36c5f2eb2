package history

import "slices"

// checkStreams compares each watcher with the whole.
func (h *History) checkStreams(r *report, lives []*timeline) {
	for _, s := range h.Streams {
		var before *Part
		for i := range s.Parts {
			p := &s.Parts[i]
			t := find(lives, p.Life)
			if t == nil {
				continue // told already
			}
			if p.Whole {
				if p.ListedAt >= t.base {
					if want := t.listedAt(p.ListedAt); !slices.Equal(p.Listed, want) {
						r.addf("%s began again at revision %d with %v; the changes lead to %v", s.Name, p.ListedAt, p.Listed, want)
					}
				}
			} else if before == nil || before.Life != p.Life || last(before) != p.Since {
				r.addf("%s went on after revision %d of life %s, which is not where it was", s.Name, p.Since, p.Life)
			}
			next := p.Since + 1
			for _, e := range p.Events {
				for t.unused[next] {
					next++
				}
				if e.Revision != next || e.Life != p.Life {
					r.addf("%s, at dnsd %d: got revision %d of life %s, expected %d of life %s: %s", s.Name, p.At, e.Revision, e.Life, next, p.Life, e.Data)
				}
				next = e.Revision + 1
			}
			before = p
		}
		if len(h.Finals) == 0 {
			continue
		}
		if end := h.Finals[0]; before == nil || before.Life != end.Life || last(before) != end.Revision {
			at, life := uint64(0), ""
			if before != nil {
				at, life = last(before), before.Life
			}
			r.addf("%s has come to revision %d of life %q; the registry is at %d of life %q", s.Name, at, life, end.Revision, end.Life)
		}
	}
}

// last is the revision of the last event, or of the beginning.
func last(p *Part) uint64 {
	if n := len(p.Events); n > 0 {
		return p.Events[n-1].Revision
	}
	return p.Since
}

func find(lives []*timeline, life string) *timeline {
	for _, t := range lives {
		if t.life == life {
			return t
		}
	}
	return nil
}

// lifeOf is the timeline of an operation.
func lifeOf(lives []*timeline, n int) *timeline {
	if n < len(lives) {
		return lives[n]
	}
	return nil
}

// Tests: check_test.go.
