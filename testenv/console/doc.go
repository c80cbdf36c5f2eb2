// Package console tests dnsd's console in Chromium, with a dnsd in the same process. It is a
// module of its own, because what drives the browser is large.
//
//	go test . -shots /tmp/shots   # keeps the pictures of each view, to be looked at
//
// A test waits for what the page shows, never for a time. Without Chromium the tests are
// skipped, unless ROLLCALL_PEERS is set.
package console
