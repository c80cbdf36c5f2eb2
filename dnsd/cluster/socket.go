package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// maxSocketPath is what the system takes as the path of a socket: 108 octets on Linux, 104
// on others, with a zero at the end.
const maxSocketPath = 103

// socket is a listener at a path.
type socket struct {
	*net.UnixListener
	path string
}

// listenSocket listens at a path, which only this user may connect to. It is made in a
// private directory, because there is a moment before its permissions are set. A socket
// that is left from a process that was killed is replaced.
func listenSocket(private, path string) (*socket, error) {
	made := filepath.Join(private, "s")
	if n := max(len(made), len(path)); n > maxSocketPath {
		return nil, fmt.Errorf("%s: the path is too long for a socket, %d octets of at most %d", path, n, maxSocketPath)
	}
	os.Remove(made)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		l.Close()
		os.Remove(made)
		return nil, err
	}
	return &socket{l, path}, nil
}

// Close closes and removes the socket.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	os.Remove(s.path)
	return err
}

// Tests: socket_test.go.
