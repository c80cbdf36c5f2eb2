// Package house holds the tests of the tree itself: which room may import which,
// and why.
package house
