// Package history records what concurrent clients and watchers see of one or several
// dnsd that share a registry, and checks it. It is for system tests: a test breaks
// things while the recorder runs, and asks at the end whether anything was lost,
// invented, reordered or seen twice.
//
//	rec, err := history.Start(ctx, history.Config{Hooks: hooks, DNS: servers, Zone: "svc."})
//	...
//	// Kill, stop, cut. Wait with rec.AwaitWrites, not with time.
//	...
//	h, err := rec.Finish(ctx)
//	...
//	if err := h.Check(); err != nil {
//		t.Error(err)
//	}
//
// # What is recorded
//
// Clients register, change, renew, drain and deregister instances of a service of their
// own through the hooks of all dnsd, and read them there and from DNS. Each request is
// sent once, and is an [Op] with the times of its begin and its end, and an [Outcome].
// Every registration carries a value that no other one has, so what is read says which
// request wrote it. Watchers, one at each dnsd and one that wanders from each to the next, write
// down every event. Zone transfers are taken from all dnsd all the time.
//
// The leases of the instances are long: none may end during the recording.
//
// # What is checked
//
//   - The changes of each instance are linearizable: there is an order of all requests
//     that explains all answers, and each request is between its begin and its end in it.
//     A request whose outcome is unknown may have been done at any time after its begin,
//     or never. The checker is github.com/anishathalye/porcupine.
//   - All watchers saw the same changes, each once, in the order of the revisions and
//     without a gap, but for those that the test has allowed. A watcher that had to begin
//     again found the state that the changes of the others lead to.
//   - A change that was acknowledged is there, under the revision that was answered. A
//     request that begins after it has a higher revision. At the end it is in the state
//     of every dnsd, unless a later request replaced it.
//   - What was refused, or never asked for, did not happen, and nothing happened twice.
//   - At one dnsd, reads never go back, in the hook and in DNS; and they have what that
//     dnsd has acknowledged. Among several dnsd, reads may be late.
//   - Zones with equal serials are equal, record by record, and have the instances that
//     the registry has at that revision.
//   - Revisions of a later life of the registry are higher than all of the one before.
//
// [History.Check] is a function of the history alone: no clock, no sockets.
package history
