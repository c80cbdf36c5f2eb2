//go:build linux

package rpcclient

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

func TestAddressesAreDialledFamiliesInTurn(t *testing.T) {
	for _, c := range []struct {
		ep   resolver.Endpoint
		want string
	}{
		{resolver.Endpoint{Addr: "10.0.0.1:1"}, "10.0.0.1:1"},
		{resolver.Endpoint{Addr: "[2001:db8::1]:1", Alt: []string{"[2001:db8::2]:1", "10.0.0.1:1", "10.0.0.2:1"}}, "[2001:db8::1]:1 10.0.0.1:1 [2001:db8::2]:1 10.0.0.2:1"},
		{resolver.Endpoint{Addr: "10.0.0.1:1", Alt: []string{"10.0.0.2:1", "10.0.0.3:1", "[2001:db8::1]:1"}}, "10.0.0.1:1 [2001:db8::1]:1 10.0.0.2:1 10.0.0.3:1"},
		{resolver.Endpoint{Addr: "host.example.com.:1"}, "host.example.com.:1"},
	} {
		if got := strings.Join(dialOrder(c.ep), " "); got != c.want {
			t.Errorf("%v: %s, want %s", c.ep, got, c.want)
		}
	}
}

// swallower returns an address that answers no SYN, because its backlog is full.
func swallower(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(sa.(*syscall.SockaddrInet4).Port))
	for range 16 { // more than the backlog takes
		// It is answered within microseconds, or its first SYN is dropped.
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		cancel()
		if err != nil {
			return addr
		}
		t.Cleanup(func() { nc.Close() })
	}
	t.Fatal("a backlog of 0 takes 16 connections")
	return ""
}

func TestSilentAddressCostsAQuarterOfASecond(t *testing.T) {
	good := startStock(t, "").addr
	ep := resolver.Endpoint{Addr: swallower(t), Alt: []string{good}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	begin := time.Now()
	nc, err := dialTCP(ctx, ep)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if took := time.Since(begin); took < attemptDelay || took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if nc.RemoteAddr().String() != good {
		t.Errorf("connected to %v", nc.RemoteAddr())
	}
}

func TestRefusedAddressIsPassedOverAndAllErrorsAreTold(t *testing.T) {
	gone := startStock(t, "")
	gone.stop()
	good := startStock(t, "").addr
	nc, err := dialTCP(t.Context(), resolver.Endpoint{Addr: gone.addr, Alt: []string{good}})
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	also := startStock(t, "")
	also.stop()
	_, err = dialTCP(t.Context(), resolver.Endpoint{Addr: gone.addr, Alt: []string{also.addr}})
	mustContain(t, err, gone.addr, also.addr, "refused")
	if i, j := strings.Index(err.Error(), gone.addr), strings.Index(err.Error(), also.addr); !slices.IsSorted([]int{i, j}) {
		t.Errorf("not in order: %v", err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	silent := swallower(t)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dialTCP(ctx, resolver.Endpoint{Addr: silent, Alt: []string{silent, silent}}); err == nil {
		t.Fatal("connected")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}
