//go:build !unix

package child

import "os"

// Terminate ends a program: this system has no signal that asks.
var Terminate = os.Kill

// Passed are the signals that are passed on.
func Passed() []os.Signal { return []os.Signal{os.Interrupt} }

// Ending are the signals that end rollcall itself, if it has no program.
func Ending() []os.Signal { return []os.Signal{os.Interrupt} }

// Ends says whether a signal asks a program to end.
func Ends(s os.Signal) bool { return s == os.Interrupt }

// FromTerminal says whether the terminal sends a signal to the program as well. Here only
// a terminal sends it.
func FromTerminal(os.Signal) bool { return true }

// signalOf is the number of the signal that ended a process: there is none here.
func signalOf(*os.ProcessState) int { return 0 }

// Tests: child_test.go.
