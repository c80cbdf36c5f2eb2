// Package member is one dnsd's part in a cluster: several dnsd that share one registry
// through a store. One of them is the writer, by election. The others follow it.
package member
