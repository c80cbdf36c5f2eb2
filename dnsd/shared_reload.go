package dnsd

import (
	"slices"
	"strconv"
	"strings"
)

// A reload may take a block from memory or a file to a shared store and back. All else
// about a shared store is the same until the process ends: the other dnsd know this one by
// it, and two members of one process must not decide about the same request. Peers may
// come and go, since etcd itself knows which ones there are.

// sameShared says whether the registry of b goes on in z, because both have the same
// shared store. It refuses what would need a restart.
func (b *block) sameShared(z Zone) (bool, error) {
	old, now := b.cfg.Store, z.Store
	if !old.isShared() || !now.isShared() || !b.publishesOne(z) && !old.Shared.overlaps(now.Shared) {
		return false, nil
	}
	cure := func(word, was, is string) error {
		return faultf(word, "a reload cannot change it from %s to %s; restart this dnsd", was, is)
	}
	if old.Kind != now.Kind {
		return false, cure("store", old.Kind, now.Kind)
	}
	if was, is := b.cfg.Origins[0], z.Origins[0]; was != is {
		return false, faultf("", "a reload cannot change the first zone of a shared store from %s to %s; restart this dnsd", was, is)
	}
	if was, is := b.cfg.Hook, z.Hook; was.Addr != is.Addr || (was.TLS == TLS{}) != (is.TLS == TLS{}) {
		return false, faultf("hook", "the other dnsd have the URL of this hook, so a reload cannot change it; restart this dnsd")
	}
	is := now.Shared.fixed()
	for i, was := range old.Shared.fixed() {
		if was != is[i] {
			return false, cure(was.word, was.value, is[i].value)
		}
	}
	return true, nil
}

// publishesOne says whether b and z have a zone in common.
func (b *block) publishesOne(z Zone) bool {
	return slices.ContainsFunc(z.Origins, func(o string) bool { return slices.Contains(b.cfg.Origins, o) })
}

// A fixedSetting is one that a reload cannot change.
type fixedSetting struct{ word, value string }

// fixed are those of s, always in the same order.
func (s *SharedStore) fixed() []fixedSetting {
	own := ""
	for _, p := range s.Peers {
		if p.Name == s.Name {
			own = p.URL
		}
	}
	or := func(value, nothing string) string {
		if value == "" {
			return nothing
		}
		return value
	}
	return []fixedSetting{
		{"store", strings.Join(s.Endpoints, " ")},
		{"store", s.Dir},
		{"store prefix", s.Prefix},
		{"store name", s.Name},
		{"store peer", own},
		{"store session", s.Session.String()},
		{"store listen", s.Listen},
		{"store advertise", or(s.Advertise, "an address of this host")},
		{"store cache", s.Cache},
		{"store user", or(s.User, "none")},
		{"store user", or(s.PasswordFile, "none")},
		{"store tls", or(strings.TrimSpace(s.TLS.Cert+" "+s.TLS.Key+" "+s.CA), "none")},
		{"store insecure", strconv.FormatBool(s.Insecure)},
	}
}

// Tests: shared_reload_test.go.
