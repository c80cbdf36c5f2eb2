//go:build !linux

// Command push measures how long a change takes until it reaches clients. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench/push: the time and the memory of another process are read in Linux's way: run it on Linux")
	os.Exit(1)
}
