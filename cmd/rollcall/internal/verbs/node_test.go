//go:build unix

package verbs

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// node PORT [STATUS]: a program that listens on a port of loopback, prints the signals
// that it gets, and ends at SIGTERM with the status. With the port "none" it does not
// listen; "end" ends at once.
func node() {
	status := 0
	if len(os.Args) > 2 {
		status, _ = strconv.Atoi(os.Args[2])
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	switch port := os.Args[1]; port {
	case "end":
		os.Exit(status)
	case "none":
	default:
		if _, err := net.Listen("tcp", "127.0.0.1:"+port); err != nil {
			fmt.Println(err)
			os.Exit(99)
		}
	}
	fmt.Println("node listens on", os.Args[1])
	for s := range signals {
		fmt.Println("node got", s)
		if s == syscall.SIGTERM {
			os.Exit(status)
		}
	}
}
