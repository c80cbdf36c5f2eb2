package peertest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// PeakMemory is the most memory that a process has had, in bytes; 0 is this process.
func PeakMemory(pid int) (int, error) {
	path := "/proc/self/status"
	if pid != 0 {
		path = fmt.Sprintf("/proc/%d/status", pid)
	}
	status, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmHWM:" {
			kib, err := strconv.Atoi(f[1])
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no VmHWM: the process has ended", path)
}
