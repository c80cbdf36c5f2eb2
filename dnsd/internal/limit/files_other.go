//go:build !unix

package limit

// Files is how many files this process may have open; false means that no bound is
// known.
func Files() (int, bool) { return 0, false }

// Tests: files_test.go.
