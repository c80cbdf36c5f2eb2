package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// ForeignError says that the prefix belongs to another: another zone, or a newer dnsd.
type ForeignError struct {
	Prefix string
	Err    error
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("member: the prefix %s of the store is not for this dnsd: %v", e.Prefix, e.Err)
}

// Unwrap returns Err.
func (e *ForeignError) Unwrap() error { return e.Err }

// Verify looks once whether the prefix is for this dnsd. It returns nil if that is so, if
// the prefix is empty, and also if the store does not answer before ctx ends.
//
// Errors: *ForeignError, kv.ErrDenied.
func (m *Member) Verify(ctx context.Context) error {
	for _, key := range []string{m.keys.meta(), m.keys.head()} {
		pair, _, err := m.cfg.Store.Get(ctx, key)
		switch {
		case errors.Is(err, kv.ErrDenied):
			return fmt.Errorf("member: read %s: %w", key, err)
		case err != nil || pair == nil:
			continue
		}
		var newer formatError
		if err := checkFormat(pair.Value); errors.As(err, &newer) {
			return &ForeignError{m.cfg.Prefix, fmt.Errorf("%s %w", key, newer)}
		}
		if key != m.keys.meta() {
			continue
		}
		if v, err := parseMeta(pair.Value); err == nil {
			if err := m.checkMeta(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// Update changes the settings that all members must have alike.
func (m *Member) Update(settings map[string]string) {
	own := maps.Clone(settings)
	m.settings.Store(&own)
}

// checkMeta compares what the prefix is for with this member. It warns of settings that
// differ.
func (m *Member) checkMeta(v *meta) error {
	if v == nil {
		return nil
	}
	if v.Zone != m.cfg.Zone {
		return &ForeignError{m.cfg.Prefix, fmt.Errorf("it is of the zone %s, and this is %s: give each zone a prefix of its own", v.Zone, m.cfg.Zone)}
	}
	if names := differing(v.Settings, *m.settings.Load()); len(names) > 0 {
		m.cfg.Logger.Error("member: settings of the zone differ from those of the writer: members would answer differently at the same serial; make them equal in every Corefile; without lines ns, the addresses are those of bind, or of the lines peer", "settings", strings.Join(names, " "))
	}
	return nil
}

// applyMeta looks at a change of P/meta.
func (m *Member) applyMeta(e *kv.Event) error {
	v, err := parseMeta(e.Value)
	if err != nil {
		m.cfg.Logger.Error("member: a value in the store cannot be read", "err", &DamagedError{e.Key, err, cureMeta})
		return nil
	}
	return m.checkMeta(v)
}

// putMeta puts what the prefix is for, if it does not say so, before anything else is put.
func (m *Member) putMeta(ctx context.Context, j *journal) error {
	settings := *m.settings.Load()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.settings != nil && maps.Equal(j.settings, settings) {
		return nil
	}
	pair, _, err := j.store.Get(ctx, m.keys.meta())
	if err != nil {
		return err
	}
	t := kv.Txn{If: append(j.conditions(), kv.Compare{Key: m.keys.meta()})}
	if pair != nil {
		v, err := parseMeta(pair.Value)
		if err != nil {
			return &DamagedError{pair.Key, err, cureMeta}
		}
		if v.Zone != m.cfg.Zone {
			return m.checkMeta(v)
		}
		if maps.Equal(v.Settings, settings) {
			j.settings = settings
			return nil
		}
		t.If[len(t.If)-1].Is = pair.Modified
	}
	t.Then = []kv.Op{{Key: m.keys.meta(), Value: encode(meta{Format: format, Zone: m.cfg.Zone, Settings: settings})}}
	if err := j.repeatLocked(t); err != nil {
		return err
	}
	j.settings = settings
	return nil
}
