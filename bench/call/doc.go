// Package call measures one call of rpcclient beside bare net/rpc and grpc-go, in
// the same process and the same run:
//
//	cd bench/call && go test -bench .
//
// It is a module of its own, so that programs that import Rollcall do not get gRPC.
package call
