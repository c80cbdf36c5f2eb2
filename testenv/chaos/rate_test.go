//go:build unix && !race

package chaos

const defaultRate = 1000
