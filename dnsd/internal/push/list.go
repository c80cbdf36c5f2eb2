package push

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Session is one session, for people.
type Session struct {
	From          netip.Addr // of the client
	TLS           bool
	Since         time.Time // when it began, in whole seconds
	Last          time.Time // when a message came or was sent
	Subscriptions int       // in the zones that were asked for
	// Pending is the octets that wait because the client does not read: those that are being
	// written, those after them, and answers.
	Pending int
	// Behind says that it has not been sent all changes: when it has read what is pending, it
	// is sent the difference.
	Behind bool
}

// Compare orders sessions: first those for which the most octets wait, then those that are
// behind, then the oldest.
func (a Session) Compare(b Session) int {
	behind := map[bool]int{true: -1}
	return cmp.Or(cmp.Compare(b.Pending, a.Pending), behind[a.Behind]-behind[b.Behind], a.Since.Compare(b.Since), a.From.Compare(b.From))
}

// Sessions returns the first sessions by Compare, at most most, of those that follow a zone
// with one of the origins. total is how many do.
func (s *Server) Sessions(origins []string, most int) (first []Session, total int) {
	for _, ses := range s.all() {
		one, ok := ses.shown(origins)
		if !ok {
			continue
		}
		total++
		first = append(first, one)
		if len(first) >= 2*most { // there may be a million
			first = shorten(first, most)
		}
	}
	return shorten(first, most), total
}

func shorten(list []Session, most int) []Session {
	slices.SortFunc(list, Session.Compare)
	return list[:min(len(list), most)]
}

// shown describes the session; ok: it follows one of the zones.
func (s *session) shown(origins []string) (one Session, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one = Session{From: s.from, TLS: s.tls, Since: time.Unix(int64(s.since), 0), Last: s.last, Pending: s.wire.left() + len(s.out)}
	for _, o := range s.orphans {
		one.Pending += o.payload.left(o.sent)
	}
	for _, sub := range s.subs {
		if slices.Contains(origins, sub.topic.hub.origin) {
			one.Subscriptions++
		}
		if sub.payload != nil {
			one.Pending += sub.payload.left(sub.sent)
		}
		one.Behind = one.Behind || len(sub.behind) > 0
	}
	return one, one.Subscriptions > 0 && s.state < ended
}

// left is the octets of the messages from the i-th on.
func (p *payload) left(i int) (octets int) {
	for ; i < p.len(); i++ {
		octets += p.size(i)
	}
	return octets
}
