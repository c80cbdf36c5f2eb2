// Package boltstore is a registry.Backend that keeps everything in one bbolt file.
// [Open] opens the file. [Check] looks at it without opening it.
//
// A commit is one bbolt transaction, synced once before Commit returns. The registry
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
// # One sync
//
// bbolt writes the pages of a tree, syncs them, writes the meta page that names the
// tree, and syncs that. Here it syncs neither. Instead, Commit writes a seal beside the
// meta, and then syncs once. The seal has a sum over all records of the tree.
//
// A crash before that sync has returned can leave any part of the commit on the disk.
// Open therefore reads the whole file before bbolt does: all pages of the newest tree,
// its list of free pages, and the sum of its records. If they are not what the seal
// says, the commit was not acknowledged, and Open goes back to the tree before it, which
// is whole: bbolt does not write to the pages of a tree before a later one is
// complete. [Store.Dropped] says so. judge.go has the rules.
//
// Close makes both meta pages name the same tree. What is wrong with that tree later is
// damage, and the file is refused. One case cannot be told from a commit that was cut
// off: the process or the machine ends without Close, and before the next start pages
// that only the last commit has written are damaged. Then that commit is dropped. So is
// a single transaction of another program. And if a sync fails and the process is killed
// before it has restored the file, the next Open may believe what only the cache of the
// system has.
//
// A file of a release that synced twice has no seals. Its first commit makes one.
//
// # Layout
//
//	rollcall   format -> the line in the constant format
//	           state  -> revision, number of instances
//	instances  service 0 id -> instance
//	fences     service 0 id -> time, incarnation, sticky drain
//
// The seals are in the two meta pages of bbolt; see meta.go.
//
// Integers are varints unless said otherwise; see record.go.
package boltstore
