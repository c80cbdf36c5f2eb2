package nameserver

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memDrops is the place of SK_MEMINFO_DROPS in what SO_MEMINFO returns (linux/sock_diag.h,
// since Linux 4.12).
const memDrops = 8

// kernelDrops is how many packets the kernel has dropped because nothing took them from
// these sockets in time. It asks the kernel when it is called, and costs nothing else. It
// returns false if the kernel does not say.
func kernelDrops(conns []*net.UDPConn) (drops uint64, known bool) {
	for _, c := range conns {
		raw, err := c.SyscallConn()
		if err != nil {
			continue
		}
		// A socket that was closed has an error, and its count is gone.
		_ = raw.Control(func(fd uintptr) {
			var info [memDrops + 1]uint32
			size := uint32(unsafe.Sizeof(info))
			_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
				uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
			if errno == 0 && size == uint32(unsafe.Sizeof(info)) {
				drops, known = drops+uint64(info[memDrops]), true
			}
		})
	}
	return drops, known
}
