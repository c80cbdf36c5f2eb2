package dnsd

import (
	"slices"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
)

// sessions are those of clients that follow a zone of b live, at most most of them: those
// for which the most waits.
func (b *block) sessions(most int) (out hook.PushSessions) {
	type session struct {
		push.Session
		listener string
	}
	var all []session
	if listeners := b.dns.Load(); listeners != nil {
		var origins []string
		for _, p := range b.zones {
			origins = append(origins, p.zone.Origin())
		}
		for _, l := range *listeners {
			list, total := l.server.Sessions(origins, most)
			out.Total += total
			for _, s := range list {
				all = append(all, session{s, l.addr})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b session) int { return a.Compare(b.Session) })
	for _, s := range all[:min(most, len(all))] {
		out.Sessions = append(out.Sessions, hook.PushSession{
			Listener: s.listener, Address: s.From.String(), TLS: s.TLS, Since: s.Since.UTC(), Last: s.Last.UTC(),
			Subscriptions: s.Subscriptions, Pending: s.Pending, Behind: s.Behind,
		})
	}
	return out
}

// Tests: push_test.go.
