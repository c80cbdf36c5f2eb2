//go:build unix && race

package chaos

// The race detector makes everything an order of magnitude slower.
const defaultRate = 200
