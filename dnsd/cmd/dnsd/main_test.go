package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// asCommand in the environment makes the test binary the command itself.
const asCommand = "ROLLCALL_TEST_AS_DNSD"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestArguments(t *testing.T) {
	good := corefile(t, "svc:0 {\n  hook 127.0.0.1:0\n}\n")
	bad := corefile(t, "svc:0 {\n  lease 5x\n}\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inUse := corefile(t, "svc:0 {\n  hook "+taken.Addr().String()+"\n}\n")
	tests := []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string // patterns
	}{
		{"version", []string{"-version"}, 0, `^dnsd \S+ .*go1\.`, `^$`},
		{"validate good", []string{"-conf", good, "-validate"}, 0, `: good\n$`, `^$`},
		{"validate bad", []string{"-conf", bad, "-validate"}, 1, `^$`, `Corefile:2: lease: bad duration "5x"; expected .*\n$`},
		{"validate nothing", []string{"-validate"}, 1, `^$`, `-validate needs -conf FILE`},
		{"no such file", []string{"-conf", good + ".nosuch"}, 1, `^$`, `^dnsd: read Corefile: .*no such file.*\n$`},
		{"bad flag", []string{"-nosuch"}, 1, `^$`, `not defined: -nosuch`},
		{"empty Corefile's name", []string{"-conf", ""}, 1, `^$`, `-conf: the argument is empty`},
		{"empty address", []string{"-dns", "127.0.0.1:0", "-hook="}, 1, `^$`, `-hook: the argument is empty`},
		{"argument", []string{"Corefile"}, 1, `^$`, `unexpected argument "Corefile"`},
		{"help", []string{"-help"}, 0, `^$`, `-conf`},
		{"flags with a Corefile", []string{"-conf", good, "-dns", "127.0.0.1:0"}, 1, `^$`, `-dns and -hook are for a start without -conf`},
		{"bad address", []string{"-dns", "localhost"}, 1, `^$`, `^dnsd: zone svc.: bind: bad address "localhost"; expected IP:port`},
		{"taken DNS without a Corefile", []string{"-dns", taken.Addr().String(), "-hook", "127.0.0.1:0"}, 1, `^$`, `^dnsd: bind: nameserver: listen tcp4 ` + taken.Addr().String() + `: bind: address already in use: is another dnsd running\? Choose other addresses with -dns ADDR and -hook ADDR\n$`},
		{"taken hook without a Corefile", []string{"-dns", "127.0.0.1:0", "-hook", taken.Addr().String()}, 1, `^$`, `hook: listen tcp4 ` + taken.Addr().String() + `: bind: address already in use: is another dnsd running\? Choose other addresses with -dns ADDR and -hook ADDR\n$`},
		{"taken port", []string{"-conf", inUse}, 1, `^$`, `^dnsd: zone svc.: hook: listen tcp4 \S+: bind: address already in use\n$`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := run(tt.args, &stdout, &stderr)
			if status != tt.status || !regexp.MustCompile(tt.stdout).MatchString(stdout.String()) ||
				!regexp.MustCompile(tt.stderr).MatchString(stderr.String()) {
				t.Errorf("dnsd %v: status %d\nstdout %q want %s\nstderr %q want %s",
					tt.args, status, stdout.String(), tt.stdout, stderr.String(), tt.stderr)
			}
		})
	}
}

// lines are a process's lines of output as they come.
type lines chan string

func newLines(r io.Reader) lines {
	l := make(lines, 1000)
	go func() {
		defer close(l)
		s := bufio.NewScanner(r)
		for s.Scan() {
			l <- s.Text()
		}
	}()
	return l
}

// await returns the next line that holds text.
func (l lines) await(t *testing.T, text string) string {
	t.Helper()
	patience := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-l:
			if !ok {
				t.Fatalf("output ended before a line with %q", text)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-patience:
			t.Fatalf("no line with %q", text)
		}
	}
}

func corefile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Corefile")
	write(t, path, text)
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
