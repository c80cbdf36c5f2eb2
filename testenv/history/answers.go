package history

// checkAnswers compares what was acknowledged with the changes: each is there, under the
// revision that was answered.
func (h *History) checkAnswers(r *report, lives []*timeline) {
	for _, o := range h.Ops {
		t := lifeOf(lives, o.Life)
		if t == nil || o.Outcome != Done || !o.Found {
			continue
		}
		switch o.Kind {
		case Register, Drain, Undrain:
			v := t.at(o.ID, o.Seen.Revision)
			switch {
			case o.Seen.Revision <= t.base:
				if o.Kind == Register {
					r.addf("%v: the revision is from before the recording, which began at %d", o, t.base)
				}
			case o.Seen.Revision > t.end():
				r.addf("%v: no watcher saw this revision; the last one is %d", o, t.end())
			case v.from != o.Seen.Revision || !v.there || v.Instance != o.Seen:
				r.addf("%v: the change at this revision is another one; the instance there: %v", o, v)
			}
			if o.Kind == Register && o.Seen.Value != o.Value || o.Kind == Drain && !o.Seen.Drained || o.Kind == Undrain && o.Seen.Drained {
				r.addf("%v: the answer is not what was asked for", o)
			}
		}
	}
}

// checkOrder is about real time: a change that was asked for after another one was
// acknowledged has a higher revision. The life does not matter.
func (h *History) checkOrder(r *report) {
	var highest *Op
	returned, next := byReturn(h.acknowledged()), 0
	revisions := map[uint64]*Op{}
	for _, o := range byCall(h.acknowledged()) {
		for next < len(returned) && returned[next].Return < o.Call {
			if b := returned[next]; highest == nil || b.Seen.Revision > highest.Seen.Revision {
				highest = b
			}
			next++
		}
		if highest != nil && highest.Seen.Revision >= o.Seen.Revision {
			r.addf("a later change has a lower revision:\n\t%v\n\t%v", highest, o)
		}
		if other := revisions[o.Seen.Revision]; other != nil {
			r.addf("two changes have one revision:\n\t%v\n\t%v", other, o)
		}
		revisions[o.Seen.Revision] = o
	}
}

// acknowledged are the registrations that were: each is a change. A drain may have
// changed nothing.
func (h *History) acknowledged() []*Op {
	var all []*Op
	for _, o := range h.Ops {
		if o.Kind == Register && o.Outcome == Done {
			all = append(all, o)
		}
	}
	return all
}

// Tests: check_test.go.
