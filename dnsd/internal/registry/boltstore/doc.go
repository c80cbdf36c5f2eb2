// Package boltstore is the registry.Backend that keeps everything in one bbolt
// file. [Open] is all there is to call.
//
// A commit is one bbolt transaction, synced before it returns. The registry
// makes one of all that waits, so that concurrent registrations share a sync.
//
// The file belongs to one process at a time. What is in it was acknowledged to
// somebody: a file that is damaged, cut short, empty, or of another program is
// refused with its path and what to do, and left as it is. Every value carries a
// CRC-32C over its key and itself; the number of instances is compared as well, so
// that a lost page cannot pass for a deregistration.
//
// After a commit that failed, whatever the cause, the file is made again what it
// was, so that it agrees with the registry, which refused the change. If not even
// that works nothing more is stored until a restart.
//
// # Layout
//
//	rollcall   format -> the line in the constant format
//	           state  -> revision, number of instances
//	instances  service 0 id -> instance
//	fences     service 0 id -> time, incarnation, sticky drain
//
// Integers are varints unless said otherwise; see record.go.
package boltstore
