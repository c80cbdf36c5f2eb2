//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// apart gives half of the processors to the servers that are started on the returned set, and
// the rest to this process. nil: there is only one. undo gives this process all of them again.
func apart() (servers *unix.CPUSet, undo func() error, err error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	n := all.Count()
	if n < 2 {
		return nil, func() error { return nil }, nil
	}
	servers = new(unix.CPUSet)
	mine := all
	for cpu := 0; servers.Count() < n/2; cpu++ {
		if all.IsSet(cpu) {
			servers.Set(cpu)
			mine.Clear(cpu)
		}
	}
	procs := runtime.GOMAXPROCS(mine.Count())
	undo = func() error {
		runtime.GOMAXPROCS(procs)
		return keepTo(&all)
	}
	return servers, undo, keepTo(&mine)
}

// keepTo keeps all threads of this process to some processors.
func keepTo(cpus *unix.CPUSet) error {
	// A thread has the processors of the one that starts it. One that was started during the
	// first round by a thread that had not had its turn is found in the second.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err == nil {
				err = unix.SchedSetaffinity(id, cpus)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
				return fmt.Errorf("sched_setaffinity: %w", err)
			}
		}
	}
	return nil
}

// launch calls start, with which a process begins on some processors. nil: on all.
func launch(cpus *unix.CPUSet, start func() error) error {
	if cpus == nil {
		return start()
	}
	runtime.LockOSThread() // the process has the processors of the thread that starts it
	defer runtime.UnlockOSThread()
	var mine unix.CPUSet
	if err := errors.Join(unix.SchedGetaffinity(0, &mine), unix.SchedSetaffinity(0, cpus)); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	return errors.Join(start(), unix.SchedSetaffinity(0, &mine))
}
