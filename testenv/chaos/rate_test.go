//go:build !race

package chaos

const defaultRate = 1000
