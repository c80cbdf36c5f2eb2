// Command dnsd is the full dnsd: that of dnsd/cmd/dnsd, and in addition the stores that
// several dnsd share (store etcd, store cluster).
//
//	cd dnsd/cluster && go build -o dnsd ./cmd/dnsd
package main

import (
	"os"

	"github.com/rollcall-dns/rollcall/dnsd/cluster"
	"github.com/rollcall-dns/rollcall/dnsd/internal/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr, cluster.Stores{}))
}
