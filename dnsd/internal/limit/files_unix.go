//go:build unix

package limit

import "syscall"

// Files is how many files this process may have open; false means that no bound is
// known.
func Files() (int, bool) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0, false
	}
	const most = 1 << 30 // for larger ones, and for "infinity"
	return int(min(uint64(l.Cur), most)), true
}

// Tests: files_test.go.
