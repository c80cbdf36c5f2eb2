//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// command starts dnsd with standard error at w, and kills it when the test ends.
func command(t *testing.T, w *os.File, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// freeAddrs are addresses of loopback that are free for UDP and TCP.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

// awaitHook waits until the hook answers.
func awaitHook(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		resp, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no hook at %s: %v", addr, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestOutlivesTheReaderOfItsLog: a write to a broken pipe does not end the process.
func TestOutlivesTheReaderOfItsLog(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	addrs := freeAddrs(t, 2)
	cmd := command(t, w, "-dns", addrs[0], "-hook", addrs[1])
	w.Close()
	awaitHook(t, addrs[1])
	r.Close()
	for i := range 3 {
		req, _ := http.NewRequest("PUT", fmt.Sprintf("http://%s/v1/services/_math._tcp/instances/a%d", addrs[1], i), strings.NewReader(`{"port":80}`))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("registration %d: %v", i, err)
		}
		resp.Body.Close()
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func TestLogFormats(t *testing.T) {
	for _, v := range []struct {
		directive string
		json      bool
	}{{"", true}, {"log info", true}, {"log info json", true}, {"log info console", false}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		conf := corefile(t, "svc:0 {\n  hook 127.0.0.1:0\n  "+v.directive+"\n}\n")
		cmd := command(t, w, "-conf", conf)
		w.Close()
		line := newLines(r).await(t, "started")
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); (err == nil) != v.json {
			t.Errorf("%q: the log begins with %s", v.directive, line)
		}
		cmd.Process.Kill()
		cmd.Wait()
		r.Close()
	}
}

// TestLameDuck: after SIGTERM /readyz says 503 while everything is answered still.
func TestLameDuck(t *testing.T) {
	addrs := freeAddrs(t, 2)
	_, port, _ := net.SplitHostPort(addrs[0])
	conf := corefile(t, "svc:"+port+" {\n  hook "+addrs[1]+"\n  lameduck 1h\n}\n")
	cmd := command(t, nil, "-conf", conf)
	awaitHook(t, addrs[1])
	cmd.Process.Signal(syscall.SIGTERM)
	for deadline := time.Now().Add(30 * time.Second); ; {
		resp, err := http.Get("http://" + addrs[1] + "/readyz")
		if err != nil {
			t.Fatalf("after SIGTERM: %v", err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after SIGTERM /readyz says %d", resp.StatusCode)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if resp, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), addrs[0]); err != nil || len(resp.Answer) != 1 {
		t.Errorf("a query after SIGTERM: %v %v", resp, err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("after a second SIGTERM: %v, want status 2", err)
	}
}
