package dnsd

// readRateLimit reads: ratelimit N. Zero switches it off, which in the Config is
// a negative number: there zero is the default.
func readRateLimit(d *blockReader, l line) error {
	if err := l.number(0, 1_000_000, &d.zone.DNS.RateLimit); err != nil {
		return err
	}
	if d.zone.DNS.RateLimit == 0 {
		d.zone.DNS.RateLimit = -1
	}
	return nil
}
