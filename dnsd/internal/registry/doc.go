// Package registry knows who is registered: instances, their leases, and every
// change to them in one order.
//
// [Open] gives a [Registry] on a [Backend] (nil: memory). Servers call
// [Registry.Register] and then renew; what has not been renewed when its lease
// ends is removed by [Registry.Run]. Each change that DNS or a watcher can see
// gets the next revision, is durable in the backend before anybody sees it, is
// then handed to every attached [Sink] (the zone) and [Watch], and only then
// does the call that made it return.
//
// # Rules
//
//   - A change is committed, then published. Concurrent requests share one
//     commit. When a commit fails nothing changed, and the caller is told. Only
//     who leaves the answers leaves them all the same: that is stored later, and a
//     restart before that brings it back for a lease.
//   - Each Open begins a [Life]. Its revisions are above all that were given out in
//     lives before, its history begins with it, and a [Position] of another life
//     leads nowhere.
//   - Renewals are not changes: they are not written and have no revision,
//     except the one that brings a suspect back.
//   - Leases run on a clock of their own: it stands still while the process is
//     stopped, suspended, or not running Run, so that a stall of ours is never
//     held against an instance. After Open every lease starts anew.
//   - The [Guard] holds back mass expiry that is not proven: those held are
//     Suspect, published behind all others, until they renew, refuse a
//     connection, or the hold ends.
//   - An instance with a lower incarnation than the one that lives, or that
//     lived last under the same key, is fenced: [FencedError].
//
// Names follow RFC 2782 (_service._proto), RFC 1123 section 2.1 (labels and hosts)
// and RFC 6763 section 6 (metadata as TXT).
//
// All methods of Registry are safe for concurrent use. Instances are immutable
// once published and shared by pointer.
package registry
