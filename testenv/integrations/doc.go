// Package integrations has tests only. Each runs another program with the configuration of
// its page in docs/integrations, beside a dnsd of testenv: it sees that the program finds
// the instances of a service, stops using those that leave or die within the time that the
// page says, and uses those that come back. A test adds to the page's configuration what
// it takes to start the program in a test, such as ports and folders, and no more.
//
// A program that is not installed skips its test by name; see package peertest.
package integrations
