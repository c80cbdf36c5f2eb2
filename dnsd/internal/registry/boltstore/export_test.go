package boltstore

// The place of the seal in a meta page, for tests that tear and change files.
const (
	SealStart = metaEnd
	SealEnd   = sealEnd
)

// FirstSeal does what the first commit to a file without a seal does first.
func (s *Store) FirstSeal() error { return s.firstSeal() }
