// Package registry knows which instances are registered, their leases, and every change
// to them in one order.
//
// [Open] makes a [Registry] on a [Backend] (nil: memory). A server calls
// [Registry.Register] and then renews. [Registry.Run] removes each instance whose lease
// ended without a renewal. Every write returns a [Receipt], which says what it did and
// at which revision.
//
// A change that DNS or a watcher can see goes through four steps. It gets the next
// revision. The backend makes it durable. Every attached [Sink] (the zone) and every
// [Watch] gets it. Then the call that made it returns.
//
// # Rules
//
//   - Concurrent requests share one commit. If a commit fails, nothing has changed, and
//     each caller gets the error. The exception is an instance that leaves the answers:
//     it leaves them, and that is stored later. A restart before that brings the instance
//     back for one lease.
//   - Each Open begins a [Life]. Its revisions are above all that earlier lives gave
//     out. Its history begins with it, so a [Position] of another life cannot be
//     resumed.
//   - A renewal is not a change: it is not stored and has no revision. The exception is
//     a renewal that brings a suspect back.
//   - Leases run on a clock that stands still while the process is stopped or suspended,
//     or while Run does not run. So no instance loses its lease because dnsd stalled.
//     After Open every lease begins again.
//   - The [Guard] stops mass expiry that is not proven. It gives instances a reprieve:
//     they are Suspect and published after all others, until they renew, refuse a
//     connection, or the reprieve ends.
//   - A registration is refused with a [FencedError] if its incarnation is lower than
//     that of the registered instance, or of the last instance under the same key.
//
// # What a Backend must promise
//
// The registry decides everything. A backend stores what it decided, and can lose
// nothing that it acknowledged.
//
//   - One registry uses a backend at a time, and calls one method at a time. A backend
//     that several processes can reach must make sure of the first: while another
//     process has the right to write, its Commit fails, and changes nothing.
//   - Commit is atomic and durable. When it returns nil, everything in the batch
//     survives a crash. When it returns an error, nothing of the batch may be there
//     after a restart. A backend that does not know the outcome must find out before it
//     returns, or fail every later Commit until a restart.
//   - Batches arrive in order. The Revision of a batch is never lower than that of the
//     batch before. Load returns the highest one, even if the batch had no changes.
//   - Load returns, for each key, the instance of the last change and the last fence.
//     The instances are ordered by key, the fences by time. It returns an error rather
//     than a part: a missing instance would look like a deregistration.
//   - A full disk, or a quota, is [ErrNoSpace], so that the caller can be told what to do.
//   - A backend does not know leases, the guard or the history. Renewals never reach it.
//
// Package registrytest holds the suite that every backend must pass.
//
// Names follow RFC 2782 (_service._proto), RFC 1123 section 2.1 (labels and hosts)
// and RFC 6763 section 6 (metadata as TXT).
//
// All methods of Registry are safe for concurrent use. Instances are immutable
// once published, and shared by pointer.
package registry
