//go:build unix

package hook

import "syscall"

// descriptors is how many files this process may have open; false: no bound is known.
func descriptors() (int, bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	const most = 1 << 30 // beyond it, or "infinity"
	return int(min(uint64(limit.Cur), most)), true
}
