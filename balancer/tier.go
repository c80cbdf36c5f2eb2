package balancer

import (
	"math"
	"slices"
	"time"
)

// snapshot is all that Pick reads. It is immutable. Each change replaces it.
type snapshot struct {
	picker   Picker // that of tiers[0]
	slow     bool   // Pick needs more than picker: see pickSlow
	err      error
	usable   bool       // some node is not Down
	counting bool       // calls are counted in Group.inFlight
	probes   []halfOpen // get a call before tiers[0] does
	tiers    []*tier    // in order of preference
	spread   []float64  // with Spill: the cumulated share of the calls up to each of tiers
}

// tier is the nodes of one priority that calls may go to. It is immutable.
type tier struct {
	priority uint16
	nodes    []*Node
	ramps    []uint64 // weight and ramp of each when picker was built
	targets  []string // the target of each, which a policy may look at: see Locality
	picker   Picker
	trial    bool // some of nodes are not in good standing
	panic    bool // too many nodes failed, so failures are ignored
}

// choose picks from the best tier that has a node left to pick.
func (s *snapshot) choose(want Want, g *Group) (*Node, *tier) {
	from := 0
	if s.spread != nil {
		x := unit(g.draw())
		for from < len(s.spread)-1 && x >= s.spread[from] {
			from++
		}
	}
	for i := range s.tiers {
		t := s.tiers[(from+i)%len(s.tiers)]
		if n := t.picker.Pick(want); n != nil {
			return n, t
		}
	}
	return nil, nil
}

// changedLocked makes a new snapshot, and sets the timer for the next change that comes
// with time. A tier without a change keeps its picker.
func (g *Group) changedLocked(now int64) {
	old := g.snap.Load()
	s := g.snapshotLocked(now, old)
	g.snap.Store(s)
	if g.ready != nil && (s.usable || g.closed) {
		close(g.ready)
		g.ready = nil
	}
	g.armLocked(now)
}

func (g *Group) snapshotLocked(now int64, old *snapshot) *snapshot {
	s := &snapshot{}
	switch {
	case g.closed:
		s.err, s.slow = ErrClosed, true
		return s
	case len(g.order) == 0:
		s.err, s.slow = ErrNoNodes, true
		return s
	}
	var rolls []roll
	for rest := g.order; len(rest) > 0; {
		r := g.rollLocked(rest)
		rolls = append(rolls, r)
		rest = rest[len(r.all):]
	}
	for _, n := range g.order {
		s.usable = s.usable || n.state != Unreachable
	}
	first := bestTier(rolls)
	for i := range rolls {
		r := &rolls[i]
		use, t := r.in, &tier{priority: r.priority}
		switch {
		case i != first && len(r.in) == 0:
			continue // the tier has no node that is better than those of first
		case len(r.soft) > r.limit:
			// So many nodes do not fail by their own fault.
			use = merge(r.all, func(n *Node) bool { return n.in() || n.soft() || len(r.in) == 0 && n.away.is() })
			t.panic, t.trial = true, true
		case len(r.in) > 0:
		case len(r.soft)+len(r.probing)+len(r.aside) > 0:
			use = merge(r.all, func(n *Node) bool { return n.soft() || n.probing() || n.away.is() })
			t.trial = true
		default:
			use, t.trial = r.all, true // all are Down: only a call can find out when one is back
		}
		t.nodes = use
		g.rampLocked(t, now)
		g.pickerLocked(t, old)
		if i == first {
			s.tiers = slices.Insert(s.tiers, 0, t)
		} else {
			s.tiers = append(s.tiers, t)
		}
	}
	for i := range rolls {
		if i > first && g.health.Spill == 0 {
			break // nodes of the next tiers are probed when they are needed
		}
		s.probes = append(s.probes, g.probesLocked(&rolls[i], s.tiers)...)
	}
	s.counting = g.counting.Load() // one of these pickers set it, or an earlier one
	s.spread = g.spread(rolls, s.tiers)
	s.picker = s.tiers[0].picker
	s.slow = s.counting || len(s.probes) > 0 || s.spread != nil || s.tiers[0].trial
	return s
}

// roll is the nodes of one priority, sorted by their standing.
type roll struct {
	priority                      uint16
	all, in, soft, probing, aside []*Node // a node in probing may be in soft, too
	limit                         int     // if soft has more nodes, failures are ignored
}

// in reports whether the node is in good standing and wants calls.
func (n *Node) in() bool { return n.good() && !n.away.is() }

// soft reports whether the node is out only for its failures.
func (n *Node) soft() bool {
	return !n.away.is() && (n.state == Ejected || n.state == Probing && !n.hard)
}

// probing reports whether the node waits for a call that shows whether it is well.
func (n *Node) probing() bool { return !n.away.is() && n.state == Probing }

// rollLocked is the roll of the first priority of nodes.
func (g *Group) rollLocked(nodes []*Node) roll {
	r := roll{priority: nodes[0].ep.Load().Priority}
	for i, n := range nodes {
		if n.ep.Load().Priority != r.priority {
			break
		}
		r.all = nodes[: i+1 : i+1]
		if n.in() {
			r.in = append(r.in, n)
		}
		if n.soft() {
			r.soft = append(r.soft, n)
		}
		if n.probing() {
			r.probing = append(r.probing, n)
		}
		if n.away.is() {
			r.aside = append(r.aside, n)
		}
	}
	r.limit = int(float64(len(r.in)+len(r.soft)) * g.health.MaxEjected)
	return r
}

// bestTier returns the first tier with a node in good standing; without one, the first
// with a node that the next call may bring back; without one, the first with a node that
// can be reached at all.
func bestTier(rolls []roll) int {
	for _, good := range []func(r *roll) bool{
		func(r *roll) bool { return len(r.in) > 0 },
		func(r *roll) bool { return len(r.probing) > 0 },
		func(r *roll) bool { return len(r.soft)+len(r.aside) > 0 },
	} {
		for i := range rolls {
			if good(&rolls[i]) {
				return i
			}
		}
	}
	return 0
}

// spread divides the calls over the tiers when Spill is set. Each tier takes Spill times
// the usable share of its nodes, but not more than the better tiers have left. When the
// sum is less than all calls, each takes more in proportion.
func (g *Group) spread(rolls []roll, tiers []*tier) []float64 {
	if g.health.Spill == 0 || len(tiers) < 2 {
		return nil
	}
	out := make([]float64, len(tiers))
	taken := 0.0
	for i, t := range tiers {
		at := slices.IndexFunc(rolls, func(r roll) bool { return r.priority == t.priority })
		usable := float64(len(rolls[at].in)) / float64(len(rolls[at].all))
		taken += min(1-taken, usable*g.health.Spill)
		out[i] = taken
	}
	if taken == 0 || out[0] == 1 {
		return nil
	}
	for i := range out {
		out[i] /= taken
	}
	return out
}

// rampLocked sets the ramp of each node of t: how far its slow start has come.
func (g *Group) rampLocked(t *tier, now int64) {
	ws := make([]float64, len(t.nodes))
	var all, full, warm float64
	for i, n := range t.nodes {
		ws[i] = max(float64(n.announced()), 1.0/64)
		all += ws[i]
		if n.state == Warming {
			warm += ws[i]
		} else {
			full += ws[i]
		}
	}
	// The other nodes get at most half as much again: all/(full+ramp*warm) <= 1.5.
	floor := 0.0
	if warm > 0 {
		floor = max(0, (all/1.5-full)/warm)
	}
	t.ramps = make([]uint64, len(t.nodes))
	for i, n := range t.nodes {
		ramp := 1.0
		if n.state == Warming {
			ramp = max(0.1+0.9*float64(g.stepLocked(n, now))/rampSteps, floor)
		}
		q := uint32(math.Round(min(ramp, 1) * fullRamp))
		n.ramp.Store(q)
		t.ramps[i] = uint64(n.announced())<<32 | uint64(q)
	}
}

// rampSteps is how often a slow start changes the weights. Each change needs a new
// picker.
const rampSteps = 9

// stepLocked is how many steps of its slow start a warming node has done.
func (g *Group) stepLocked(n *Node, now int64) int64 {
	return min((now-n.since)*rampSteps/int64(max(g.health.SlowStart, 1)), rampSteps)
}

// pickerLocked builds t's picker, or keeps the old one if it would be the same.
func (g *Group) pickerLocked(t *tier, old *snapshot) {
	t.targets = make([]string, len(t.nodes))
	for i, n := range t.nodes {
		t.targets[i] = n.ep.Load().Target
	}
	for _, o := range old.tiers {
		if o.priority == t.priority && slices.Equal(o.nodes, t.nodes) &&
			slices.Equal(o.ramps, t.ramps) && slices.Equal(o.targets, t.targets) {
			t.picker = o.picker
			return
		}
	}
	t.picker = g.policy(t.nodes)
	for _, n := range t.nodes {
		n.settled.Store(n.Picks())
	}
}

// fadeEvery is how often the costs of idle nodes fade a little.
const fadeEvery = time.Second / 4

// keepFading starts the fading of costs, if it is not under way.
func (g *Group) keepFading(now int64) {
	if g.fading.Load() || !g.fading.CompareAndSwap(false, true) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fadeAt = now + int64(fadeEvery)
	g.armLocked(now)
}

// armLocked sets the timer for the next change that comes with time.
func (g *Group) armLocked(now int64) {
	if g.closed {
		return
	}
	next := g.fadeAt
	sooner := func(at int64) {
		if next == 0 || at < next {
			next = at
		}
	}
	for _, n := range g.order {
		switch {
		case n.state == Warming:
			step := g.stepLocked(n, now) + 1
			sooner(n.since + (step*int64(g.health.SlowStart)+rampSteps-1)/rampSteps)
		case n.until != 0:
			sooner(n.until)
		}
		if n.away.until != 0 {
			sooner(n.away.until)
		}
	}
	if next == g.due {
		return
	}
	g.due = next
	switch {
	case next == 0:
		g.timer.Stop()
	case g.timer == nil:
		g.timer = time.AfterFunc(time.Duration(next-now), g.tick)
	default:
		g.timer.Reset(time.Duration(next - now))
	}
}

// tick makes the changes that are due: probes, steps of slow starts, fading costs.
func (g *Group) tick() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	now := g.now()
	g.due = 0
	if g.fadeAt != 0 && g.fadeAt <= now {
		g.fadeAt = 0
		g.fading.Store(false) // before fade: a cost that is measured meanwhile sets it again
		left := false
		for _, n := range g.order {
			left = n.fade(now) || left
		}
		if left {
			g.fading.Store(true)
			g.fadeAt = now + int64(fadeEvery)
		}
	}
	changed := false
	for _, n := range g.order {
		switch {
		case n.state == Warming:
			if g.stepLocked(n, now) >= rampSteps {
				n.state, n.since = Healthy, now
			}
			changed = true
		case n.until != 0 && n.until <= now:
			n.probeFromLocked(now)
			changed = true
		}
		changed = n.away.over(now) || changed
	}
	if changed {
		g.changedLocked(now)
	} else {
		g.armLocked(now)
	}
}

// merge returns the nodes for which use is true.
func merge(nodes []*Node, use func(*Node) bool) (out []*Node) {
	for _, n := range nodes {
		if use(n) {
			out = append(out, n)
		}
	}
	return out
}
