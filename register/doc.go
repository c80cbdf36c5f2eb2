// Package register registers a server with dnsd and keeps it registered, so that
// clients which resolve _math._tcp.svc. find it. It needs only the standard library.
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
// The instance is published when Keep returns. Close removes it before Close
// returns. In between the package renews the lease: dnsd may be restarted, lose its
// store, or be away for hours, and the instance is registered again.
//
// # Where dnsd is
//
// Config.Hooks lists the HTTP addresses of dnsd. If it is empty, the environment
// variable ROLLCALL_HOOK lists them ("https://dnsd1.example.org:8053
// https://dnsd2.example.org:8053"); otherwise the address is http://127.0.0.1:8053.
// Where several dnsd share one registry, list them all: when one is away, the next is
// used at once. Requests may reach several of them, which does no harm: they are the same
// requests, for the same registry.
//
// HTTP_PROXY is ignored for a hook in a private network, and for a registration
// without a host: the hook would publish the address of the proxy.
//
// Requests that fail are repeated with a growing, jittered pause, which only a
// success makes short again. Instances that lose the same dnsd at the same time
// come back spread over at least a second. Without a Logger the standard logger
// reports the failures.
//
// # How a lease is kept
//
// A registration is one PUT. After it the package opens a hold: a request that stays
// open and carries a heartbeat at each renewal. If the process is killed, the
// connection breaks, and dnsd probes the instance and removes it at once. If the
// process is stopped (SIGSTOP, a debugger), the heartbeats end and so does the lease.
// Where a hold is not possible (an old hook, a proxy that buffers), PUTs renew the
// lease.
//
// A dnsd may take renewals and no changes, for example while its disk is full. Then an
// Update, a Drain or an Undrain is tried again with a growing pause, and the lease goes on
// with what dnsd took last. Status.Pending says why.
//
// # Drain
//
// Lease.Drain takes the instance out of DNS while it stays registered, and Lease.Undrain
// brings it back. An operator can drain it, too, and each of them ends only its own drain.
//
// # Incarnations
//
// An incarnation is a number that grows each time a process takes over an id. By
// default it is the time of Keep in milliseconds. dnsd refuses a lower incarnation
// than the registered one with 409, so an old process that wakes up cannot take the
// id back: its lease ends with [ErrReplaced]. If the clock was set back between two
// starts, the registered incarnation lies in the future; a process that was never
// registered then takes the next number.
//
// # The HTTP API
//
// The types [Registration], [Published], [Service], [Event] and [Problem] are the
// JSON of the HTTP API. dnsd uses the same types. The requests, their answers and
// their errors are described in docs/http-api.md.
package register
