package peer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

var (
	anyService = rapid.Map(rapid.StringMatching(`[a-z][a-z0-9]{0,8}`), func(s string) string { return "_" + s + "._tcp" })
	anyKey     = rapid.Custom(func(t *rapid.T) registry.Key {
		return registry.Key{Service: anyService.Draw(t, "service"), ID: rapid.StringMatching(`[a-z][a-z0-9]{0,8}`).Draw(t, "id")}
	})
	anyHost = rapid.SampledFrom([]string{"10.0.0.7", "2001:db8::1", "a.example.com."})
	anyMeta = rapid.Map(rapid.MapOfN(rapid.StringMatching(`[a-z]{1,4}`), rapid.String(), 0, 3), func(m map[string]string) map[string]string {
		for k, v := range m {
			m[k] = strings.ToValidUTF8(v[:min(len(v), 200)], "")
		}
		if len(m) == 0 {
			return nil
		}
		return m
	})
)

// anyRecord returns an instance that could be registered.
func anyRecord(t *rapid.T, key registry.Key) registry.Record {
	lease := rapid.IntRange(2, 86400).Draw(t, "lease")
	r := registry.Record{
		Service: key.Service, ID: key.ID, Host: anyHost.Draw(t, "host"), Port: rapid.Uint16Min(1).Draw(t, "port"),
		Priority: rapid.Uint16().Draw(t, "priority"), Weight: rapid.Uint16().Draw(t, "weight"),
		TTL:   registry.Span(rapid.IntRange(1, lease/2).Draw(t, "ttl")) * registry.Span(time.Second),
		Lease: registry.Span(lease)*registry.Span(time.Second) + registry.Span(rapid.IntRange(0, 999).Draw(t, "ms"))*registry.Span(time.Millisecond),
		Meta:  anyMeta.Draw(t, "meta"), Incarnation: rapid.Uint64().Draw(t, "incarnation"),
		State: rapid.SampledFrom([]registry.State{registry.Up, registry.Suspect, registry.Drained}).Draw(t, "state"), Sticky: rapid.Bool().Draw(t, "sticky"),
		Revision: rapid.Uint64Min(1).Draw(t, "revision"), Drain: rapid.Bool().Draw(t, "drain"),
	}
	if r.State == registry.Suspect {
		r.Behind = rapid.Uint16().Draw(t, "behind")
	}
	return r
}

func anyInstance(t *rapid.T, key registry.Key) *registry.Instance {
	in, err := anyRecord(t, key).Instance()
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func anyOperation(t *rapid.T) operation {
	o := operation{kind: rapid.SampledFrom([]kind{register, renew, renewAll, deregister, drain, undrain, unfence, releaseGuard, connectionLost, skip}).Draw(t, "kind")}
	incarnation := rapid.Uint64().Draw(t, "incarnation")
	switch o.kind {
	case renewAll:
		o.renewals = []registry.Renewal{}
		for range rapid.IntRange(0, 5).Draw(t, "renewals") {
			o.renewals = append(o.renewals, registry.Renewal{Key: anyKey.Draw(t, "key"), Incarnation: rapid.SampledFrom([]uint64{0, 1, incarnation}).Draw(t, "of")})
		}
		return o
	case releaseGuard:
		o.service = rapid.SampledFrom([]string{"", "_math._tcp"}).Draw(t, "service")
		return o
	case skip:
		return o
	case register:
		o.key = anyKey.Draw(t, "key")
		o.instance = anyRecord(t, o.key).Registration()
		if rapid.Bool().Draw(t, "defaults") {
			o.instance.TTL, o.instance.Lease = 0, 0
		}
	default:
		o.key = anyKey.Draw(t, "key")
	}
	switch o.kind {
	case renew, connectionLost:
		o.incarnation = &incarnation
	case deregister:
		if rapid.Bool().Draw(t, "with incarnation") {
			o.incarnation = &incarnation
		}
	case drain:
		o.sticky = rapid.Bool().Draw(t, "sticky")
	}
	if rapid.Bool().Draw(t, "again") {
		since := rapid.Uint64().Draw(t, "since")
		o.since = &since
	}
	if rapid.Bool().Draw(t, "have") {
		o.have = anyInstance(t, o.key)
	}
	return o
}

func anyResult(t *rapid.T, o *operation) (r result) {
	if rapid.Bool().Draw(t, "fails") {
		r.err, r.at = anyError(t, 3), rapid.Uint64().Draw(t, "at")
		if rapid.Bool().Draw(t, "without receipt") {
			return r
		}
	}
	r.Receipt = registry.Receipt{
		Did:      rapid.SampledFrom([]registry.Did{registry.Created, registry.Changed, registry.Renewed, registry.Removed, registry.Forgotten, registry.Released}).Draw(t, "did"),
		Revision: rapid.Uint64().Draw(t, "revision"),
		Count:    rapid.IntRange(0, 1<<20).Draw(t, "count"),
	}
	r.ExpiresIn = time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "expires"))
	if o.kind == renewAll {
		r.Unknown = keysOrNil(rapid.SliceOfN(anyKey, 0, 3).Draw(t, "unknown"))
		r.Replaced = keysOrNil(rapid.SliceOfN(anyKey, 0, 3).Draw(t, "replaced"))
		return r
	}
	if o.key == (registry.Key{}) {
		return r
	}
	must := r.err == nil && (o.kind == register || o.kind == renew || o.kind == deregister || o.kind == drain || o.kind == undrain && r.Did != registry.Forgotten)
	switch choice := rapid.IntRange(0, 2).Draw(t, "instance"); {
	case choice == 1, must && (choice == 0 || o.have == nil):
		r.Instance = anyInstance(t, o.key)
		if o.have != nil && r.Instance.Revision == o.have.Revision { // the same revision is the same instance
			r.Instance.Revision++
		}
		if r.Instance.State == registry.Up && rapid.Bool().Draw(t, "unconfirmed") {
			r.Instance.State = registry.Unconfirmed
		}
	case choice == 2:
		if o.have != nil { // the sender has it, perhaps in another state
			in := *o.have
			if in.State == registry.Up && rapid.Bool().Draw(t, "unconfirmed") {
				in.State = registry.Unconfirmed
			}
			r.Instance = &in
		}
	}
	return r
}

func keysOrNil(k []registry.Key) []registry.Key {
	if len(k) == 0 {
		return nil
	}
	return k
}

// anyError returns an error as a registry could: typed ones, sentinels, wrapped and joined.
func anyError(t *rapid.T, depth int) error {
	text := rapid.StringN(0, 40, 100)
	choice := rapid.IntRange(0, 6).Draw(t, "error")
	if depth == 0 {
		choice %= 5
	}
	switch choice {
	case 0:
		return &registry.FieldError{Field: "host", Value: strings.ToValidUTF8(text.Draw(t, "value"), ""), Problem: strings.ToValidUTF8(text.Draw(t, "problem"), "")}
	case 1:
		return &registry.FencedError{Key: anyKey.Draw(t, "key"), Live: rapid.Uint64().Draw(t, "live"), Given: rapid.Uint64().Draw(t, "given"), Gone: rapid.Bool().Draw(t, "gone")}
	case 2:
		return &registry.LimitError{What: "instances of " + anyService.Draw(t, "service"), Max: rapid.Int().Draw(t, "max")}
	case 3:
		return errors.New(strings.ToValidUTF8(text.Draw(t, "text"), ""))
	case 4:
		return sentinels[rapid.IntRange(0, len(sentinels)-1).Draw(t, "sentinel")].err
	case 5:
		return fmt.Errorf("%s: %w", strings.ToValidUTF8(text.Draw(t, "text"), ""), anyError(t, depth-1))
	default:
		return fmt.Errorf("%w: %w", anyError(t, depth-1), anyError(t, depth-1))
	}
}
