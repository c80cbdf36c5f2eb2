package timeline

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Event is an event as people read it.
type Event struct {
	Time     time.Time `json:"time"`
	Revision uint64    `json:"revision,omitempty"`
	Service  string    `json:"service,omitempty"`
	ID       string    `json:"id,omitempty"`
	What     string    `json:"what"`
	Who      string    `json:"who,omitempty"`
	Why      string    `json:"why,omitempty"`
}

// The words for what happened. Programs may depend on them. [Kinds] lists them.
const (
	Registered  = "registered"
	Changed     = "changed"
	Replaced    = "replaced" // a newer process took the id over
	RenewedLate = "renewed late"
	Suspected   = "suspect"
	Expired     = "expired"
	RefusedCall = "refused" // it refused a connection, and was removed
	Removed     = "removed"
	Drained     = "drained"
	Undrained   = "undrained"
	Loaded      = "loaded"
	// Of a Note.
	GuardReleased = "guard released"
	FenceCleared  = "fence cleared"
	MemberAdded   = "member added"
	MemberRemoved = "member removed"
	SnapshotBack  = "restored"
)

// Kinds are all words for what happened, in an order for readers.
func Kinds() []string {
	return []string{
		Registered, Changed, Replaced, RenewedLate, Suspected, Expired, RefusedCall, Removed, Drained, Undrained,
		GuardReleased, FenceCleared, SnapshotBack, MemberAdded, MemberRemoved, Loaded,
	}
}

// Self did what no request asked for. No sender of a request has this name: it has an
// address.
const Self = "dnsd"

// process renewed: a batch of renewals has no sender of its own in the timeline.
const process = "the instance"

// mostWhy bounds a reason: values of metadata are in it.
const mostWhy = 240

func describe(found []record) []Event {
	out := make([]Event, len(found))
	for i := range found {
		out[i] = found[i].event()
		if why := out[i].Why; len(why) > mostWhy {
			out[i].Why = strings.ToValidUTF8(why[:mostWhy], "") + "…"
		}
	}
	return out
}

// service is the one that the event concerns; "": all.
func (e *record) service() string {
	switch {
	case e.note != nil:
		return e.note.Service
	case e.Old == nil && e.New == nil:
		return ""
	}
	return e.Key().Service
}

func (e *record) event() Event {
	out := Event{Time: e.Time, Revision: e.Revision, Service: e.service(), Who: e.who}
	switch e.kind {
	case noted:
		out.What, out.Why = e.note.What, e.note.Why
		return out
	case loaded:
		out.What, out.Who = Loaded, Self
		out.Why = "it was behind, and loaded everything again: the changes before this are not known here"
		return out
	case lateRenewal:
		out.ID, out.What, out.Who = e.New.ID, RenewedLate, process
		out.Why = fmt.Sprintf("%v before the end of its lease of %v: it missed two heartbeats", e.left.Truncate(time.Millisecond), e.New.Lease)
		return out
	}
	out.ID = e.Key().ID
	switch {
	case e.Old == nil:
		out.What, out.Why = appeared(&e.Change)
	case e.New == nil:
		out.What, out.Why = left(&e.Change, e.who)
	default:
		out.What, out.Why = differs(&e.Change)
	}
	if e.Cause == registry.Followed && out.Why == "" {
		out.Why = "the writer decided it: its events say why"
	}
	if out.Who == "" && out.What == RenewedLate {
		out.Who = process
	}
	if out.Who == "" && e.Cause != registry.Asked && e.Cause != registry.Followed && e.Cause != registry.Restored {
		out.Who = Self
	}
	return out
}

func appeared(c *registry.Change) (what, why string) {
	why = fmt.Sprintf("at %s, weight %d", c.New.HostPort(), c.New.Weight)
	if c.Cause == registry.Restored {
		why += ", from a snapshot or another store"
	}
	if c.New.Shown() == registry.Drained {
		why += ", drained"
	}
	return Registered, why
}

// left says how an instance went.
func left(c *registry.Change, who string) (what, why string) {
	switch c.Cause {
	case registry.Silent:
		return Expired, fmt.Sprintf("no renewal for its lease of %v", c.Old.Lease)
	case registry.Quiet:
		return Expired, "it was a suspect, and did not renew before the guard's time was over"
	case registry.Freed:
		return Expired, "it was a suspect, and an operator released the guard"
	case registry.Refused:
		return RefusedCall, "its host refuses connections to " + c.Old.HostPort()
	case registry.Followed:
		return Removed, ""
	}
	if who == Self {
		return Removed, "its heartbeats ended, though its host answers: the process was stopped"
	}
	return Removed, "it was deregistered"
}

// suspected has the reasons why an instance became a suspect.
var suspected = map[registry.Cause]string{
	registry.Crowd:   "its lease ended; the guard keeps it, because too many of its service are silent",
	registry.Deaf:    "its lease ended; the guard keeps it, because no instance at all renews: the fault may be dnsd's network",
	registry.Trial:   "its lease ended; it is kept for one more lease, and dnsd tries to connect to it",
	registry.TooMany: "its host refuses connections; the guard keeps it, because too many refuse at once",
	registry.Ranked:  "it is published after the others of its service, whose priorities changed",
}

// differs says how an instance changed.
func differs(c *registry.Change) (what, why string) {
	before, now := c.Old, c.New
	switch {
	case now.State == registry.Drained && before.State != registry.Drained:
		if now.Sticky {
			return Drained, "by an operator, also when it comes back"
		}
		return Drained, "by an operator"
	case now.Drain && !before.Drain:
		return Drained, "the instance asked for it"
	case before.State == registry.Drained && now.State != registry.Drained:
		return Undrained, "by an operator"
	case before.Drain && !now.Drain:
		return Undrained, "the instance asked for it"
	case now.State == registry.Suspect:
		return Suspected, suspected[c.Cause]
	case before.State == registry.Suspect:
		return RenewedLate, strings.Join(append([]string{"it was a suspect"}, difference(before, now)...), "; ")
	case before.Incarnation != now.Incarnation:
		return Replaced, strings.Join(append([]string{"a newer process has its id"}, difference(before, now)...), "; ")
	}
	return Changed, strings.Join(difference(before, now), "; ")
}

// difference names the fields that differ, with their values.
func difference(a, b *registry.Instance) (all []string) {
	note := func(field, before, now string) {
		if before != now {
			all = append(all, field+" "+before+" → "+now)
		}
	}
	note("address", a.HostPort(), b.HostPort())
	note("priority", strconv.Itoa(int(a.Priority)), strconv.Itoa(int(b.Priority)))
	note("weight", strconv.Itoa(int(a.Weight)), strconv.Itoa(int(b.Weight)))
	note("ttl", a.TTL.String(), b.TTL.String())
	note("lease", a.Lease.String(), b.Lease.String())
	keys := slices.Collect(maps.Keys(a.Meta))
	for k := range b.Meta {
		if _, ok := a.Meta[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	value := func(m map[string]string, k string) string {
		if v, ok := m[k]; ok {
			return strconv.Quote(v)
		}
		return "none"
	}
	for _, k := range keys {
		note(k, value(a.Meta, k), value(b.Meta, k))
	}
	if a.State == registry.Drained && b.State == registry.Drained && a.Sticky != b.Sticky {
		note("sticky", strconv.FormatBool(a.Sticky), strconv.FormatBool(b.Sticky))
	}
	return all
}

// Tests: timeline_test.go, words_test.go.
