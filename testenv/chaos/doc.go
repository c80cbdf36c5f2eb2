// Package chaos has tests with processes of their own: a dnsd, servers that
// register with it and that are killed, stopped and restarted, and a client in the
// test that calls them all the while.
//
//	go test ./testenv/chaos                          3 seconds of each kind
//	go test -v ./testenv/chaos -chaos.duration 10m   longer, with the summaries
//	go test ./testenv/chaos -run Kill -chaos.rate 5000 -chaos.servers 8
//
// Each execution of a call is written by the server to a ledger, a file that
// outlives the process, before the call does anything else. Afterwards the ledger
// is held against what the client was told: that is how the tests know whether a
// call was executed twice, or not at all.
//
// The servers are killed, stopped, restarted and frozen; dnsd is killed, with a
// store on disk and with one in memory.
//
// The processes are the test binary itself, started again with another task in
// its environment. They end when their standard input does, so that none outlives
// the test.
package chaos
