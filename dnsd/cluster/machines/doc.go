// Package machines has the tests of several dnsd on machines that fail. It has no code of
// its own.
//
// Each dnsd and each etcd is a process, on a machine that is a network namespace with an
// address, joined by a bridge. So a process can be killed with -9 and be stopped with
// SIGSTOP; a machine can lose its power, which refuses nothing, since nothing of it
// answers any more; and any two machines can be cut off from each other. The test itself
// is one more machine: that of the servers and clients.
//
// Meanwhile a crowd goes on: servers that keep registrations, calls between clients and
// servers, and questions to the DNS of each dnsd, every few milliseconds. No call may
// fail, and no answer may be missing, but those of the dnsd that fails. Package
// testenv/history records other clients that write at all dnsd, and checks what they saw.
//
// The tests need Linux, root, and the programs ip and iptables; without them they are
// skipped, or fail with ROLLCALL_PEERS=1. Some need other programs: etcd and etcdctl of
// version 3.4, dig, curl. They take a minute or two. Their times are logged with -v, and
// compared with what docs/cluster.md promises. A test machine with other things to do may be
// later by as much as it takes from this process, which is measured. If it stands still for
// longer than servers can bear, a test that finds something late is skipped, and says so.
package machines
