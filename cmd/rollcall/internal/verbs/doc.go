// Package verbs has the commands of rollcall: a file for each, or for a few that belong
// together, and app.go with the table of all. Package cli reads the command line, hook
// asks dnsd, and show prints.
//
// The files in testdata are the tests of the commands, and their manual.
package verbs
