//go:build unix

package testenv

import (
	"os"
	"os/signal"
	"syscall"
)

// noMoreDisk lets no file of the process grow much beyond the size that the one at
// path has; with an empty path it only says whether that can be done.
func noMoreDisk(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = uint64(info.Size()) + 128<<10
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}
