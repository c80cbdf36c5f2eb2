//go:build !race

package rpcserver_test

const underRace = false
