//go:build linux || darwin

package freeaddr

import (
	"os"
	"syscall"
)

// lockFile locks f until the process ends; false: another process has it.
func lockFile(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// Tests: freeaddr_test.go.
