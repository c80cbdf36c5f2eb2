// Package house holds the tests of the tree itself: which room may import which, and
// why; how long a file and a function may be; that the tests of a file can be found;
// and which words comments do without. CONTRIBUTING.md has the style.
package house
