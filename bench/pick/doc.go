// Package pick measures what a pick costs beside the pickers of grpc-go, go-zero and
// kratos, in the same process and the same run:
//
//	cd bench/pick && go test -bench .
//
// The pickers of gRPC and go-zero are not exported: they are reached through the registered
// balancer.Builder, with a ClientConn and SubConns that are always ready. Each
// benchmark counts a pick and its release, as a call needs both; "choice" is our picker
// alone, without counting calls in flight and without timing them, which grpc-go's
// round_robin does not do either. With -count, the table at the end has the best of all
// runs. grpc-go's weighted_round_robin is
// not measured: it takes weights only from load reports of servers.
//
// It is a module of its own, so that programs that import Rollcall do not get those.
package pick
