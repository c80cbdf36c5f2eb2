//go:build !linux

package command

// monotonic is for systemd, which is on Linux only.
func monotonic() (usec int64, ok bool) { return 0, false }

// Tests: command_test.go, script_test.go.
