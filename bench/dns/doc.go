// Command dns compares what an answer costs: dnsd beside NSD and Knot, which
// have its zone from a transfer, and beside an echo, which sends prepared bytes back
// and so shows the ceiling.
//
//	go run ./bench/dns [-services 100] [-instances 10] [-rounds 3] [-for 2s] [-only echo,dnsd,nsd,knot] [-over udp,tcp]
//
// The server under test runs on one core and the generator on another; the
// servers take turns in each round. The generator keeps a fixed number of
// queries in flight, so that it always asks as fast as the server answers; what
// counts is the server's CPU time for each answer, from /proc/PID/stat. Queries
// per second are limited by the slower of the two. Quote ratios: the absolute
// numbers are this machine's.
//
// Linux only, on at least two cores. What is not installed is left out, by name.
package main
