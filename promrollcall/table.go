package promrollcall

// mostSeries is how many nodes or methods of one collector have series of their own. More
// is hard to read in a graph, and a thousand clients of a thousand nodes would be a million
// series of each metric.
const mostSeries = 100

// row is the numbers of one node or method at one moment.
type row struct {
	key    string
	counts []float64 // each only grows while the key is there
	now    []float64
}

// table bounds the series of a collector. A key that has a series keeps it while it is
// there. Keys without one share the empty key. What these count is added up in the table,
// so that the sum does not fall when one of them goes: Prometheus would take that for a
// restart, and count the rest a second time.
type table struct {
	most   int                  // how many keys have a series
	own    map[string]bool      // keys that have a series
	seen   map[string][]float64 // counts of the other keys at the last look
	others row                  // all other keys together
	shared bool                 // there were others once
}

// look takes the rows of now, and returns those to show. The looks must be in the order in
// which the numbers were read.
func (t *table) look(rows []row) []row {
	keys, byKey := merge(rows)
	own := map[string]bool{}
	for key := range t.own {
		if _, there := byKey[key]; there {
			own[key] = true
		}
	}
	t.own = own
	var out []row
	seen := map[string][]float64{}
	t.others.now = make([]float64, len(t.others.now))
	for _, key := range keys {
		r := byKey[key]
		if key != "" && len(own) < t.most {
			own[key] = true
		}
		if own[key] {
			out = append(out, r)
			continue
		}
		t.shared = true
		t.others.counts = sum(t.others.counts, grown(t.seen[key], r.counts))
		t.others.now = sum(t.others.now, r.now)
		seen[key] = r.counts
	}
	t.seen = seen
	if t.shared {
		out = append(out, t.others)
	}
	return out
}

// merge adds up rows with equal keys: two may be equal only after what is not UTF-8 was
// replaced.
func merge(rows []row) (keys []string, byKey map[string]row) {
	byKey = make(map[string]row, len(rows))
	for _, r := range rows {
		r.key = text(r.key)
		old, twice := byKey[r.key]
		if twice {
			r.counts, r.now = sum(old.counts, r.counts), sum(old.now, r.now)
		} else {
			keys = append(keys, r.key)
		}
		byKey[r.key] = r
	}
	return keys, byKey
}

// sum adds two lists of numbers in a new one. What a list does not have is 0.
func sum(a, b []float64) []float64 {
	out := make([]float64, max(len(a), len(b)))
	copy(out, a)
	for i, n := range b {
		out[i] += n
	}
	return out
}

// grown is by how much counts have grown. A count that is lower than before began again,
// at another node with the same address.
func grown(before, counts []float64) []float64 {
	out := make([]float64, len(counts))
	for i, n := range counts {
		out[i] = n
		if i < len(before) && before[i] <= n {
			out[i] = n - before[i]
		}
	}
	return out
}
