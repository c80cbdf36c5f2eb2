// Command dnsd is Rollcall's server: authoritative DNS for the instances that
// register themselves with it over HTTP.
//
//	dnsd                 zone svc., DNS on 127.0.0.1:5300, hook on 127.0.0.1:8053
//	dnsd -dns 127.0.0.1:5301 -hook 127.0.0.1:8054
//	dnsd -conf Corefile  the zones of the Corefile
//	dnsd -conf Corefile -validate
//	dnsd -version
//
// SIGHUP and SIGUSR1 read the Corefile again. SIGTERM and SIGINT stop the server
// gracefully, with exit status 0; a second one stops it at once, with status 2.
//
// The log goes to standard error: lines for people on a terminal, else JSON (the
// Corefile's "log LEVEL json" and "log LEVEL console" choose). It never holds up the
// server: lines that are not read in time are dropped and counted. Every mistake at the
// start has one line and exit status 1. The files in dnsd/internal/command/testdata show
// all of it.
//
// This is the light dnsd: its registrations are in memory or in a file. Several dnsd that
// share them (store etcd, store cluster) need the full one, the command of the module
// dnsd/cluster, which has etcd's code in it.
package main

import (
	"os"

	"github.com/rollcall-dns/rollcall/dnsd/internal/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr, nil))
}
