// Package testenv runs the whole of Rollcall in one process, on free ports, for
// a test: dnsd, servers that register themselves with it, and clients that find
// them by name. It breaks any of them on request.
//
//	func TestSurvivesAKill(t *testing.T) {
//		env := testenv.New(t, testenv.Setup{Nodes: 3})
//		client := env.Client(nil)
//		env.Fault(0, testenv.Kill)
//		var product int
//		err := client.Call(ctx, "Arith.Multiply", &testenv.Args{A: 6, B: 7}, &product)
//		...
//	}
//
// Everything it starts ends with the test. A test waits on events, not on time:
// [Env.Await] returns when dnsd publishes what the test wants, and [Env.AwaitNodes]
// when dnsd publishes the nodes.
//
// With Setup.DNSDs, several dnsd share the registrations, as in docs/cluster.md, with a
// store in memory in place of etcd. [Env.KillDNSD], [Env.StopDNSD] and [Env.PauseDNSD] end
// or stop one of them, [Env.Break] breaks one of the links between dnsd, store, nodes and
// clients, and [Env.Store] stops or fills the store. Package history, below this one,
// finds out whether anything was lost or done twice meanwhile.
//
// A node is a real net/rpc server on a real socket. Faults are injected between the
// socket and the server, so a killed node is not a killed process: the demo and
// package chaos kill processes. The same is true of dnsd.
package testenv
