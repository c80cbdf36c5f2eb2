//go:build unix

package child

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Terminate asks a program to end.
const Terminate = syscall.SIGTERM

// Passed are the signals that are passed on: not those that this process was started to
// ignore, as by nohup. The program ignores them, too.
func Passed() []os.Signal {
	return slices.DeleteFunc([]os.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
	}, signal.Ignored)
}

// Ending are the signals that end rollcall itself, if it has no program to pass them on
// to: a terminal that is closed sends SIGHUP.
func Ending() []os.Signal {
	return slices.DeleteFunc([]os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}, signal.Ignored)
}

// Ends says whether a signal asks a program to end.
func Ends(s os.Signal) bool { return s == syscall.SIGTERM || s == syscall.SIGINT }

// FromTerminal says whether the terminal sends a signal to the program as well: those of
// its keys, and of its size, go to all processes in the foreground. Passed on, a Ctrl-C
// would be the second, which means to hurry in many programs.
func FromTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT && s != syscall.SIGWINCH {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// signalOf is the number of the signal that ended a process.
func signalOf(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return int(w.Signal())
	}
	return 0
}

// Tests: child_test.go.
