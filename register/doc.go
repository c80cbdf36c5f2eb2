// Package register keeps a server registered with a dnsd: it is what a process
// that serves _math._tcp uses so that _math._tcp.svc. leads to it. It needs
// nothing but the standard library.
//
// Most programs need one function:
//
//	lease, err := register.Keep(ctx, register.Config{
//		Service:      "_math._tcp",
//		Registration: register.Registration{Port: 8080},
//	})
//	if err != nil {
//		return err
//	}
//	defer lease.Close(context.Background())
//
// The instance is published when Keep returns, and stays so until Close, which
// takes it away before it returns. In between the lease is kept, whatever
// happens to dnsd: it may be restarted, lose its store, or be away for hours.
//
// # Where dnsd is
//
// Config.Hooks, else the environment variable ROLLCALL_HOOK
// ("https://dnsd1.example.org:8053 https://dnsd2.example.org:8053"), else
// http://127.0.0.1:8053. No proxy of the environment is used for a hook in a private
// network, nor by whoever leaves the host to the hook: that would publish the proxy.
//
// A dnsd that is away is asked again and again, with a growing, jittered pause that
// nothing but a success makes short again; those who lose the same dnsd at once come
// back over at least a second. Who gives no Logger hears of it on the standard one.
//
// # The wire
//
// The package is also the owner of the JSON that goes over the hook: both sides
// use these types, so they cannot drift apart.
//
//	PUT    /v1/services/{service}/instances/{id}        Registration -> Published (201 new, 200 otherwise)
//	DELETE /v1/services/{service}/instances/{id}        ?incarnation=N -> 204
//	POST   /v1/services/{service}/instances/{id}/hold   ?incarnation=N&heartbeat=1 -> a stream, see below
//	POST   /v1/renew                                    RenewRequest -> RenewAnswer
//	GET    /v1/services                                 -> Services
//	GET    /v1/services/{service}                       -> Service
//	GET    /v1/watch?service=&since=ID                  -> server-sent events, data: Event, id: LIFE-REVISION
//
// Every failure is a [Problem] (RFC 9457) whose detail says what to do about it.
// Durations are text such as "5s", see [Duration].
//
// PUT is the only way to say something about an instance: it registers, renews,
// changes and recovers. A registration therefore never depends on what the hook
// remembers, and the answer to "unknown" is to send the same request again.
//
// # Held registrations
//
// A hold is a request whose body and response stay open. The body is heartbeats,
// one octet at once and then one whenever a renewal is due: they come from this
// process, so one that is stopped is not renewed and leaves DNS with its lease. The
// hook answers 200 with content type text/event-stream and a first comment line at
// once (": held"), then a comment for each heartbeat that renewed. An event "changed"
// says that the instance is published otherwise, because an operator drained it or its
// heartbeats do not arrive: a PUT is due. The stream ends when the
// hook stops, when the instance is deregistered, or when a newer incarnation takes
// its place: the other side then sends its PUT again and learns from the answer which
// it was (409: replaced). When the connection breaks instead, the hook probes the
// instance and removes it at once if it refuses. A hold answered by 404 with a Problem
// is an unknown instance; 400, 405, 501, or a 404 that is no Problem is a hook that
// cannot hold, and a response without a line, or heartbeats without an answer, is a
// proxy that buffers: the lease is kept by renewals then.
//
// # Incarnations
//
// An incarnation is a number that grows each time a process takes over an id; by
// default it is the time of Keep in milliseconds. A PUT, DELETE or hold with a
// lower incarnation than the live one's is answered 409, so that an old process
// that wakes up cannot take the place back: Keep stops with [ErrReplaced]. The 409
// names the live one's incarnation. If it lies in the future, the clock was set back
// between two starts; a process that was never registered then takes the next number
// and is the newer one.
package register
