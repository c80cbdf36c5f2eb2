package registry

// FormatCeiling returns the content of a ceiling's file.
var FormatCeiling = formatCeiling

// Tuning are the numbers that only tests change.
type Tuning = tuning

// OpenTuned is Open with another tuning, and with a Config that is changed after it was
// checked.
func OpenTuned(cfg Config, change func(*Config, *Tuning)) (*Registry, error) {
	cfg, err := Check(cfg)
	if err != nil {
		return nil, err
	}
	t := usual()
	change(&cfg, &t)
	return open(cfg, t)
}

// Begun says whether Run runs.
func (r *Registry) Begun() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.clock.begun
}
