//go:build linux

package dnsload

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The server under test runs on one core and the generator on another.
const (
	ServerCore    = 0
	GeneratorCore = 1
)

// Pin keeps all threads of a process and its children on one core: Knot's workers choose
// cores for themselves.
func Pin(pid, core int) {
	var set unix.CPUSet
	set.Set(core)
	for _, p := range family(pid) {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p))
		if err != nil {
			continue // it ended
		}
		for _, t := range threads {
			if tid, err := strconv.Atoi(t.Name()); err == nil {
				_ = unix.SchedSetaffinity(tid, &set)
			}
		}
	}
}

// pinThread keeps the calling goroutine on one core.
func pinThread(core int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(0, &set)
}

// CPUTime is the processor time of a process and of its running children, which
// NSD has.
func CPUTime(pid int) (time.Duration, error) {
	var total time.Duration
	for _, p := range family(pid) {
		d, err := cpuOf(p)
		if err != nil && p == pid {
			return 0, err
		}
		total += d
	}
	return total, nil
}

// cpuOf adds user and system time of /proc/PID/stat: fields 14 and 15 in ticks.
func cpuOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces: count from after it.
	_, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, syscall.EINVAL
	}
	var user, system int64
	if _, err := fmt.Sscan(fields[11], &user); err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(fields[12], &system); err != nil {
		return 0, err
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	return time.Duration(user+system) * tick, nil
}

// family is a process and its descendants.
func family(pid int) []int {
	out := []int{pid}
	for i := 0; i < len(out); i++ {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", out[i]))
		if err != nil {
			continue
		}
		for _, l := range lists {
			text, err := os.ReadFile(l)
			if err != nil {
				continue
			}
			for _, f := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(f); err == nil {
					out = append(out, child)
				}
			}
		}
	}
	return out
}

// Tests: load_test.go.
