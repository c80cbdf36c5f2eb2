// Package shed limits how many calls of a server run at once, by a limit that it finds
// itself: it refuses calls before they queue for so long that their answers are of no use.
//
//	limit := shed.New(shed.Config{})
//	s := rpcserver.New(rpcserver.Config{Middleware: []rpcserver.Middleware{limit.Middleware}})
//
// A refused call was not executed. Package rpcclient sends it to another server at once,
// and sends nothing more here for Config.StayAway.
//
// # How the limit is found
//
// Calls that do not wait for each other take a certain time, whatever their number: the
// base. Calls that do wait take longer. The limit follows from how much longer they take:
//
//   - In each window of a tenth of a second, and of at least ten calls, the mean time of
//     the calls is compared with the base. If it is more than Config.Tolerance times the
//     base, the limit falls in proportion, at most to half. Otherwise it grows by its
//     square root. A fifth of each change is made.
//   - The limit grows only while at least half of it is used: otherwise nothing shows
//     whether the server could take more.
//   - Every ten seconds, only half of the limit is used for a moment. The mean time of the
//     calls that begin then is the new base; a window with a lower mean lowers it. So it
//     follows a server that becomes slower or faster, and is not spoilt by a queue that
//     lasts. If calls that take much longer than the base are half of the limit, the moment
//     ends without a result.
//   - A call whose context has ended, mostly because its caller gave up, counts only if it
//     took longer than the base.
//
// One Limit judges calls by their time, so methods with very different times should have
// limits of their own: call one Limit or another in a Middleware, by Call.Method.
package shed
