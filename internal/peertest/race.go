package peertest

import "runtime/debug"

// UnderRace reports whether the race detector is on, with which memory and time are not
// worth measuring.
func UnderRace() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// Tests: peertest_test.go.
