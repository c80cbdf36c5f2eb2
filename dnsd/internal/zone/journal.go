package zone

import (
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Delta is the difference between two revisions of the zone, record by record,
// without the SOA records themselves (RFC 1995 section 4).
type Delta struct {
	From, To       *dns.SOA
	Removed, Added []dns.RR
}

const (
	// defaultSteps is as many changes as the registry's history has by default.
	defaultSteps = 32_768
	// journalBytes is what the steps may hold, about: 32,768 steps of small
	// services, some 2 KiB each. Steps of a service of thousands are larger, and
	// the journal is then shorter.
	journalBytes = 64 << 20
)

// journal remembers the past states of the zone. A step keeps the parts as they
// were before it. They share nearly all of their members with the later ones, so
// that they take far less memory than the records of the difference, which Journal
// makes when a secondary asks.
type journal struct {
	steps              []step // each begins at the revision where the one before ended
	bytes              int
	maxSteps, maxBytes int
	maxAge             time.Duration // 0: any

	renewed bool   // see Config
	fence   uint64 // the revision that the zone was loaded at: no step of a renewed zone begins there
}

// step leads from one revision to the next that was published.
type step struct {
	from, to uint64
	at       time.Time // of its last change
	was      []was     // of the parts it touched
	bytes    int       // what it holds, about
}

// was is a part before a step; nil: it was not published.
type was struct {
	key  string
	part part
}

// add appends a step and drops the oldest beyond the bounds.
func (j *journal) add(s step) {
	if j.renewed && s.from <= j.fence {
		return
	}
	j.steps = append(j.steps, s)
	j.bytes += s.bytes
	drop := 0
	old := func(t step) bool { return j.maxAge > 0 && t.at.Before(s.at.Add(-j.maxAge)) }
	for drop < len(j.steps) && (len(j.steps)-drop > j.maxSteps || j.bytes > j.maxBytes || old(j.steps[drop])) {
		j.bytes -= j.steps[drop].bytes
		drop++
	}
	if drop > 0 {
		// The array must not hold the dropped steps in memory.
		clear(j.steps[:drop])
		j.steps = j.steps[drop:]
	}
}

// forget drops all steps.
func (j *journal) forget() { j.steps, j.bytes = nil, 0 }

// rebuild makes the steps of a history. It walks the history backwards from the
// version it led to, and undoes each change in the parts it touched. Every revision
// becomes a step: which revisions were published together is not in the history. It
// ends at the first revision that is missing, because what changed there is not known: a
// difference that reached over it could leave a secondary with a wrong zone.
func (j *journal) rebuild(z *Zone, v *version, history []registry.Change) {
	j.forget()
	j.fence = v.revision
	if j.renewed {
		return
	}
	edits := make(edits)
	end, steps := v.revision, []step(nil)
	for i := len(history) - 1; i >= 0 && len(steps) < j.maxSteps; {
		to := history[i].Revision
		if to != end {
			break
		}
		st := step{to: to, from: to - 1, at: history[i].Time}
		seen := make(map[string]bool, 1)
		for ; i >= 0 && history[i].Revision == to; i-- {
			back := history[i]
			back.Old, back.New = back.New, back.Old
			for _, key := range z.content.keys(&back) {
				_, before, _ := edits.take(z.content, v, key, &back)
				st.bytes += before.bytes()
				seen[key] = true
			}
		}
		for key := range seen {
			st.was = append(st.was, was{key, nilIfEmpty(edits[key])})
		}
		steps = append(steps, st)
		end = st.from
	}
	for _, s := range slices.Backward(steps) {
		j.add(s)
	}
}

// since returns the steps that lead from a revision on; false if none begins there.
func (j *journal) since(revision uint64) ([]step, bool) {
	i, ok := slices.BinarySearchFunc(j.steps, revision, func(s step, r uint64) int {
		switch {
		case s.from < r:
			return -1
		case s.from > r:
			return 1
		}
		return 0
	})
	if !ok {
		return nil, false
	}
	return slices.Clone(j.steps[i:]), true
}

// Journal returns what changed since a serial, condensed (RFC 1995 section 5:
// what came and went in between is not in it); nil if the serial is the present
// one. false means that the journal does not reach back to that serial, or that
// the difference is larger than the zone, so that a full transfer is the shorter
// answer, or that the zone has no content yet.
func (z *Zone) Journal(since uint32) (*Delta, bool) {
	if z.absent.Load() {
		return nil, false
	}
	z.mu.Lock()
	v := z.current.Load()
	// Serials compare by RFC 1982: the distance is taken modulo 2^32, and
	// one of half the space or more is the future.
	distance := uint32(v.revision) - since
	if distance == 0 {
		z.mu.Unlock()
		return nil, true
	}
	if distance >= 1<<31 || uint64(distance) > v.revision {
		z.mu.Unlock()
		return nil, false
	}
	from := v.revision - uint64(distance)
	steps, ok := z.journal.since(from)
	z.mu.Unlock()
	if !ok {
		return nil, false
	}
	d := &Delta{From: z.soaAt(from), To: v.soa}
	seen := make(map[string]bool)
	whole := z.content.records(v) + len(z.static) + 8
	for _, st := range steps {
		for _, w := range st.was {
			if seen[w.key] {
				continue
			}
			seen[w.key] = true
			z.content.compare(d, w.part, z.content.find(v, w.key))
			if len(d.Removed)+len(d.Added) > whole {
				return nil, false
			}
		}
	}
	return d, true
}

// sets enters the difference between record sets.
func (d *Delta) sets(old, now []dns.RR) {
	removed, added := Compare(old, now)
	d.Removed = append(d.Removed, removed...)
	d.Added = append(d.Added, added...)
}

// Compare returns the records that are only in the first of two sets, and only in the
// second. A changed TTL is a record removed and one added. The results may be the sets
// themselves.
func Compare(old, now []dns.RR) (removed, added []dns.RR) {
	if len(old) == 0 || len(now) == 0 {
		return old, now
	}
	had := make(map[string]dns.RR, len(old))
	for _, rr := range old {
		had[rr.String()] = rr
	}
	for _, rr := range now {
		key := rr.String()
		if _, ok := had[key]; ok {
			delete(had, key)
			continue
		}
		added = append(added, rr)
	}
	for _, rr := range old {
		if _, ok := had[rr.String()]; ok {
			removed = append(removed, rr)
		}
	}
	return removed, added
}
