package rpcclient

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// page is what the debug page shows, as ?format=json gives it.
type page struct {
	Service string     `json:"service"`
	Time    time.Time  `json:"time"`
	Since   time.Time  `json:"since"` // actual shares are counted from here: an earlier look at the page; zero: New
	Names   pageNames  `json:"names"`
	Nodes   []pageNode `json:"nodes"`
	Stats   Stats      `json:"stats"` // with the nodes that only finish calls, too
}

// pageNames is what is known of the name.
type pageNames struct {
	Resolved  bool      `json:"resolved"` // the Source has yielded a state
	Endpoints int       `json:"endpoints"`
	Confirmed time.Time `json:"confirmed,omitzero"` // when a server last said so
	TTL       string    `json:"ttl,omitempty"`
	ExpiresIn string    `json:"expires_in,omitempty"` // negative: stale
	Error     string    `json:"error,omitempty"`      // why they are stale, or missing

	FreshBy  string    `json:"fresh_by,omitempty"` // "push" or "ttl": see resolver.Freshness
	Server   string    `json:"server,omitempty"`   // the one that tells about changes, or answered last
	Revision uint64    `json:"revision,omitempty"` // of the set, if the server tells it
	Followed time.Time `json:"followed,omitzero"`  // since when the server tells about changes
	Again    time.Time `json:"again,omitzero"`     // when a server is asked the next time to tell about changes
}

// pageNode is one node, and why it is used or not.
type pageNode struct {
	NodeStats
	Used        bool    `json:"used"`
	Why         string  `json:"why"`
	Share       float64 `json:"share"`        // of the calls that it should get now
	ActualShare float64 `json:"actual_share"` // of the calls that it got since page.Since
	Cost        string  `json:"cost"`         // how long a call is expected to take, with a price for failures
	Latency     string  `json:"latency"`
	Failing     float64 `json:"failing"` // share of the recent calls that failed
	Ramp        float64 `json:"ramp"`    // slow start, up to 1
}

//go:embed debug.html
var debugHTML string

// ServeHTTP shows the state of the client: its nodes, why each is used or not, the share
// of calls that it should get and gets, and the last errors. ?format=json gives the same
// as JSON. The page shows addresses and error texts: serve it only to operators.
func (c *Client) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	page := c.page(time.Now())
	w.Header().Set("Cache-Control", "no-store")
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.Encode(page) // an error means that the reader has gone
	case "", "html":
		t, err := template.New("page").Funcs(template.FuncMap{
			"percent": func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) },
			"ago": func(t time.Time) string {
				return page.Time.Sub(t).Round(time.Second).String() + " ago"
			},
			"in": func(t time.Time) string {
				return max(t.Sub(page.Time), 0).Round(time.Second).String()
			},
			"expiry": func(in string) string {
				if past, ok := strings.CutPrefix(in, "-"); ok {
					return "expired " + past + " ago"
				}
				return "expires in " + in
			},
			"ms": func(d time.Duration) string { return d.Round(10 * time.Microsecond).String() },
		}).Parse(debugHTML)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		t.Execute(w, page)
	default:
		http.Error(w, fmt.Sprintf("format %q: want html or json", format), http.StatusBadRequest)
	}
}

func (c *Client) page(now time.Time) page {
	p := page{Service: c.service, Time: now, Stats: c.Stats()}
	if s := c.names(); s != nil {
		p.Names = pageNames{Resolved: true, Endpoints: len(s.Endpoints), Confirmed: s.Confirmed}
		if r, ok := c.cfg.Source.(interface {
			Freshness(name string) resolver.Freshness
		}); ok {
			f := r.Freshness(c.service)
			p.Names.FreshBy, p.Names.Server, p.Names.Revision, p.Names.Followed, p.Names.Again = f.By, f.Server, f.Revision, f.Since, f.Again
		}
		if s.TTL > 0 {
			p.Names.TTL = s.TTL.String()
			p.Names.ExpiresIn = s.Confirmed.Add(s.TTL).Sub(now).Round(time.Millisecond).String()
		}
		if s.Err != nil {
			p.Names.Error = s.Err.Error()
		}
	}
	infos := c.group.Nodes()
	picks := make(map[string]uint64, len(infos))
	for _, i := range infos {
		picks[i.Endpoint.Addr] = i.Picks
	}
	actual, since := c.shares.look(picks, now)
	p.Since = since
	tier, used := bestPriority(infos)
	for _, i := range infos {
		n, _ := i.Node.Value().(*node)
		if n == nil {
			continue
		}
		stats := n.stats(i.Standing.String())
		p.Nodes = append(p.Nodes, pageNode{
			NodeStats: stats,
			Used:      i.Active,
			Why:       why(i, stats, now, tier, used),
			Share:     i.Share, ActualShare: actual[i.Endpoint.Addr],
			Cost:    i.Cost.Round(time.Microsecond).String(),
			Latency: i.Latency.Round(time.Microsecond).String(),
			Failing: i.Failing, Ramp: i.Ramp,
		})
	}
	slices.SortFunc(p.Nodes, func(a, b pageNode) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Addr, b.Addr))
	})
	return p
}

// names is what is known of the name. A Source yields changes only; a Resolver also
// knows when its last answer was confirmed.
func (c *Client) names() *resolver.State {
	s := c.state.Load()
	if r, ok := c.cfg.Source.(interface {
		Cached(name string) (resolver.State, bool)
	}); ok && s != nil {
		if cached, ok := r.Cached(c.service); ok {
			return &cached
		}
	}
	return s
}

// bestPriority is the best priority of a node in use.
func bestPriority(infos []balancer.NodeInfo) (priority uint16, ok bool) {
	for _, i := range infos {
		if i.Active && (!ok || i.Endpoint.Priority < priority) {
			priority, ok = i.Endpoint.Priority, true
		}
	}
	return priority, ok
}

// why says in a sentence why a node is used, or not.
func why(i balancer.NodeInfo, s NodeStats, now time.Time, tier uint16, used bool) string {
	reason := ""
	if i.Reason != nil {
		reason = ": " + i.Reason.Error()
	}
	in := func(t time.Time) string { return max(0, t.Sub(now)).Round(time.Millisecond).String() }
	switch i.Standing {
	case balancer.Unreachable:
		text := "not used: no connection" + reason
		switch {
		case s.Note == whySubset, s.Note == whyReserve:
			return "not used: " + s.Note
		case i.Reason == nil && s.LastError == "":
			text = "not used yet: connecting"
		}
		if !s.NextDial.IsZero() {
			text += "; dialled again in " + in(s.NextDial)
		}
		return text
	case balancer.Ejected:
		text := "not used: ejected" + reason
		if i.Panic {
			text = "used although ejected, because too many others are ejected" + reason
		}
		if !i.Until.IsZero() {
			text += "; probed in " + in(i.Until)
		}
		return text
	case balancer.Probing:
		return "gets one call at a time, to prove itself" + reason
	case balancer.Away:
		text := "not used: the server wants no calls" + reason
		if i.Active {
			text = "used although the server wants no calls, because no other node is usable" + reason
		}
		if !i.Until.IsZero() {
			text += "; used again in " + in(i.Until)
		}
		return text
	}
	text := "used"
	switch {
	case s.Note == whyKept && !i.Active:
		return "not used: " + whyKept
	case s.Note == whyKept:
		text = "used: " + whyKept
	case !i.Active && used && i.Endpoint.Priority > tier:
		return fmt.Sprintf("not used: kept in reserve, nodes of priority %d are usable", tier)
	case !i.Active:
		return "not used by the policy"
	case i.Standing == balancer.Warming:
		return fmt.Sprintf("used: warming up, at %.0f %% of its share", 100*i.Ramp)
	}
	return text
}

// shares turns counts that only grow into shares of about the last minute: since the
// oldest look within it. Several readers do not disturb each other, and a page without
// readers costs no memory.
type shares struct {
	mu    sync.Mutex // guards looks
	looks []counted  // oldest first
}

// counted is the counts at one look.
type counted struct {
	at     time.Time
	counts map[string]uint64
}

const (
	lookedFor = time.Minute
	lookEvery = time.Second // looks closer together are not remembered
)

// look returns each key's share of the counts since an earlier look, and when that look
// was. The first look counts from the beginning.
func (s *shares) look(counts map[string]uint64, now time.Time) (map[string]float64, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// If no look is within the minute, the last one before it serves.
	for len(s.looks) > 1 && now.Sub(s.looks[0].at) > lookedFor {
		s.looks = s.looks[1:]
	}
	var since counted
	if len(s.looks) > 0 {
		since = s.looks[0]
	}
	if n := len(s.looks); n == 0 || now.Sub(s.looks[n-1].at) >= lookEvery {
		s.looks = append(s.looks, counted{now, counts})
	}
	out := make(map[string]float64, len(counts))
	var total float64
	for key, n := range counts {
		fresh := n
		if old := since.counts[key]; old <= n {
			fresh = n - old
		}
		out[key] = float64(fresh)
		total += float64(fresh)
	}
	for key := range out {
		if total > 0 {
			out[key] /= total
		}
	}
	return out, since.at
}
