// Package dnsload asks a DNS server as fast as it answers, on Linux: [Load] is the
// generator, [Echo] its ceiling, a server that does not read the questions. [Pin] and
// [CPUTime] are for the server's process, so that what an answer costs can be measured.
//
// Only the measurements under bench import it.
package dnsload
