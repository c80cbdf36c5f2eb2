// Package chaos tests Rollcall with real processes. It runs a dnsd and servers that
// register with it. It kills, stops, freezes and restarts the servers, and kills
// dnsd, with a store on disk and with one in memory. A client in the test calls the
// servers all the while.
//
//	go test ./testenv/chaos      3 seconds of each kind
//	go test -timeout 0 -v ./testenv/chaos -chaos.duration 10m      longer, with the summaries
//	go test ./testenv/chaos -run Kill -chaos.rate 5000 -chaos.servers 8
//
// Each execution of a call is written by the server to a ledger, a file that
// outlives the process, before the call does anything else. Afterwards the tests
// compare the ledger with what the client was told. So they know whether a call was
// executed twice, or answered and never executed.
//
// Each process is the test binary itself, started again with a task in its
// environment. It ends when its standard input is closed, so none outlives the test.
package chaos
