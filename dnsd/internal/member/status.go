package member

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Health is what each answer of this dnsd should know of the cluster.
type Health struct {
	Loaded bool          // it has content
	Stale  bool          // its content may be old: the store does not answer, cannot be followed, or answers again and was not caught up with
	Writer bool          // this member leads
	Lag    uint64        // revisions that the store has and this member has not
	Silent time.Duration // since the store answered last
	Reason string        // why it should get no traffic; "": it may get some
}

// Health is quick.
func (m *Member) Health() Health {
	reg := m.cfg.Registry
	h := Health{Loaded: reg.Loaded(), Writer: reg.Leads()}
	silent, behind := m.listen()
	h.Silent = silent
	lag, since := m.lag(reg)
	h.Lag = lag
	older := m.older.Load()
	broken := m.broken.Load()
	switch {
	case !h.Loaded && broken != nil:
		h.Reason = (*broken).Error()
	case !h.Loaded:
		h.Reason = "it has no content yet: the store has not answered"
	case h.Silent > m.cfg.Session:
		h.Stale = true
		h.Reason = fmt.Sprintf("its content may be old: the store has not answered for %v", h.Silent.Round(time.Second))
	case broken != nil:
		h.Stale = true
		h.Reason = "its content may be old: " + (*broken).Error()
	case !m.synced.Load():
		h.Stale = true
		h.Reason = "its content is from its local copy: the store was not read yet"
	case older != nil && time.Since(*older) > m.cfg.Session: // until then another becomes the writer, as a rule
		h.Stale = true
		h.Reason = fmt.Sprintf("its content may be old: the store has had less than it for %v, as one that was restored from a copy, and the writer has not begun a new life", time.Since(*older).Round(time.Second))
	case behind:
		h.Stale = true
		h.Reason = "its content may be old: the store answers again, and this member may not have everything from it yet"
	case since > laggard:
		h.Reason = fmt.Sprintf("it is %d revisions behind the store for %v", lag, since.Round(time.Second))
	}
	return h
}

// Ready returns nil, or why this dnsd should get no traffic.
func (m *Member) Ready() error {
	if why := m.Health().Reason; why != "" {
		return errors.New("member: " + why)
	}
	return nil
}

// Status is the cluster as this member sees it, as JSON of the hook.
type Status struct {
	Name    string         `json:"name"`   // of this member
	Writer  string         `json:"writer"` // "": there is none, or it is not known
	Members []MemberStatus `json:"members"`
	Store   StoreStatus    `json:"etcd"`
}

// MemberStatus is one member.
type MemberStatus struct {
	Name     string   `json:"name"`
	Role     string   `json:"role"` // "writer" or "follower"
	Revision uint64   `json:"revision"`
	Hook     string   `json:"hook"`
	Address  string   `json:"address"`
	Version  string   `json:"version,omitempty"`
	Knows    []string `json:"knows,omitempty"` // what it knows of instances, beyond the first release
	Lag      uint64   `json:"lag,omitempty"`
	Error    string   `json:"error,omitempty"`
	// CertificateEnds is when the certificate ends that it shows to the store.
	CertificateEnds time.Time `json:"certificateEnds,omitzero"`
}

// Answer is what a member says of itself.
type Answer struct {
	Revision        uint64
	CertificateEnds time.Time // zero: it shows none to the store, or does not say
}

// StoreStatus is the store.
type StoreStatus struct {
	Healthy bool      `json:"healthy"`
	Silent  float64   `json:"silent"` // seconds since it answered
	Error   string    `json:"error,omitempty"`
	Alarm   string    `json:"alarm,omitempty"`
	Version string    `json:"version,omitempty"`
	Size    int64     `json:"size,omitempty"`
	Quota   int64     `json:"quota,omitempty"` // 0: it is not known
	Nodes   []kv.Node `json:"nodes,omitempty"`
}

// Store returns what the store was last heard to say of itself: at most some seconds ago,
// if it answers. It asks nothing.
func (m *Member) Store() StoreStatus { return m.storeStatus(m.Health()) }

// askTime bounds what Status waits for others.
const askTime = time.Second

// Status asks the other members for their revisions, and the store for its servers, for at
// most a second.
func (m *Member) Status(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	h := m.Health()
	s := Status{Name: m.cfg.Name}
	peers := m.Peers()
	s.Members = make([]MemberStatus, len(peers))
	var asked sync.WaitGroup
	if known := m.health.Load(); known == nil || time.Since(known.at) > look {
		asked.Go(func() { m.health.Store(&storeHealth{m.cfg.Store.Status(ctx), time.Now()}) })
	}
	listed := false
	for i, p := range peers {
		s.Members[i] = MemberStatus{Name: p.Name, Role: "follower", Hook: p.Hook, Address: p.Address, Version: p.Version, Knows: strings.Fields(p.Knows)}
		if i == 0 && h.Loaded && !h.Stale { // else what is known of the members may be old
			s.Members[0].Role, s.Writer = "writer", p.Name
		}
		switch {
		case p.Self:
			listed = true
			s.Members[i].Revision, s.Members[i].CertificateEnds, s.Members[i].Error = m.cfg.Registry.Revision(), m.certificateEnds(), h.Reason
		case m.cfg.Ask == nil:
			s.Members[i].Error = "its revision is not known"
		default:
			asked.Go(func() {
				answer, err := m.cfg.Ask(ctx, p)
				if err != nil {
					s.Members[i].Error = err.Error()
					return
				}
				s.Members[i].Revision, s.Members[i].CertificateEnds = answer.Revision, answer.CertificateEnds
			})
		}
	}
	asked.Wait()
	s.Store = m.storeStatus(h)
	if !listed { // it is no candidate at the moment
		s.Members = append(s.Members, MemberStatus{
			Name: m.cfg.Name, Role: "follower", Revision: m.cfg.Registry.Revision(),
			Hook: m.cfg.Hook, Address: m.cfg.Address, Version: m.cfg.Version, Knows: strings.Fields(words), Error: h.Reason,
			CertificateEnds: m.certificateEnds(),
		})
	}
	newest := uint64(0)
	for _, p := range s.Members {
		newest = max(newest, p.Revision)
	}
	for i := range s.Members {
		if p := &s.Members[i]; p.Revision > 0 {
			p.Lag = newest - p.Revision
		}
	}
	return s
}

func (m *Member) certificateEnds() time.Time {
	if m.cfg.CertificateEnds == nil {
		return time.Time{}
	}
	return m.cfg.CertificateEnds()
}

func (m *Member) storeStatus(h Health) StoreStatus {
	s := StoreStatus{Healthy: h.Silent <= m.cfg.Session && m.answered.Load() >= 0, Silent: h.Silent.Seconds()}
	if known := m.health.Load(); known != nil {
		s.Error, s.Alarm, s.Version, s.Nodes = known.Error, known.Alarm, known.Version, known.Nodes
		s.Size, s.Quota = known.Size, known.Quota
	}
	return s
}
