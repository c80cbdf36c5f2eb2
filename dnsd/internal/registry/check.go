package registry

// WithDefaults returns c with the default in each field that is zero, or what Open
// would refuse.
func (c Config) WithDefaults() (Config, error) { return c.withDefaults() }
