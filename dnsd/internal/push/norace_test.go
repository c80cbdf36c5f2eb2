//go:build !race

package push

// raceEnabled says that this test is built with the race detector.
const raceEnabled = false
