//go:build race

package rpcserver_test

// underRace: the race detector takes several times the memory.
const underRace = true
