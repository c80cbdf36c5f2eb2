// Package boltstore is a registry.Backend that keeps everything in one bbolt file.
// [Open] opens the file. [Check] looks at it without opening it.
//
// A commit is one bbolt transaction, synced before Commit returns. The registry
// puts all requests that wait into one commit, so concurrent registrations share a
// sync.
//
// The file belongs to one process at a time. Each record in it was acknowledged to
// a client. Open therefore refuses a file that is damaged, cut short, empty or of
// another program, with its path and what to do, and does not change it. Every value
// carries a CRC-32C over its key and itself. The file also holds the number of
// instances, so that a lost page is not taken for a deregistration.
//
// When a commit fails, the store restores the file as it was before, because the
// registry has refused the change. If that fails too, it stores nothing more until
// a restart.
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
