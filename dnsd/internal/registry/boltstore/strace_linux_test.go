package boltstore_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// needStrace returns the path of a strace that works here.
func needStrace(t *testing.T) string {
	t.Helper()
	strace := peertest.Need(t, "strace")
	if out, err := exec.Command(strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		if peertest.Mandatory() {
			t.Fatalf("strace does not work here: %v %s", err, out)
		}
		t.Skipf("strace does not work here: %v %s", err, out)
	}
	return strace
}

// sayMark begins each line that a child says.
const sayMark = "say "

// recorded runs the test named test of this binary as a child under strace, with env in
// its environment, and returns what it did to the file at path and what it said, in
// order. inject is a rule of strace about calls that fail, or "". struck says that the
// rule was applied.
func recorded(t *testing.T, strace, test, env, path, inject string) (events []event, struck bool) {
	t.Helper()
	trace := path + ".trace"
	args := []string{"-f", "-qq", "-y", "-xx", "-s", "4000000", "-o", trace, "-e", "trace=pwrite64,fdatasync,fsync,ftruncate,write"}
	if inject != "" {
		args = append(args, "-e", inject)
	}
	cmd := exec.Command(strace, append(args, os.Args[0], "-test.run=^"+test+"$")...)
	// Under the race detector a program sleeps a second at its end, if it is not told.
	cmd.Env = append(os.Environ(), env, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	data, noTrace := os.ReadFile(trace)
	raw := string(data)
	struck = strings.Contains(raw, "(INJECTED)") || strings.Contains(raw, "killed by SIGKILL")
	if noTrace != nil || err != nil && !struck {
		t.Fatalf("child: %v, its trace: %v\n%s", err, noTrace, out)
	}
	begun := map[string]string{} // by thread, a call that another thread's call interrupted in the trace
	for line := range strings.Lines(raw) {
		thread, call, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		call = strings.TrimLeft(call, " ")
		if begin, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
			begun[thread] = begin
			continue
		}
		if strings.HasPrefix(call, "<... ") {
			_, end, _ := strings.Cut(call, " resumed>")
			call = begun[thread] + end
		}
		events = append(events, parsed(t, call, path)...)
	}
	return events, struck
}

// parsed returns what a call of a trace did, if it was about the file at path or said
// something. All strings in the trace are in hexadecimal. A call that failed has a
// negative result, and one that never returned has the result "?".
func parsed(t *testing.T, call, path string) (events []event) {
	t.Helper()
	name, rest, _ := strings.Cut(call, "(")
	all, rest, _ := strings.Cut(rest, ")")
	_, rest, _ = strings.Cut(rest, "= ")
	result, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(result)
	if err != nil {
		return nil
	}
	args := strings.Split(all, ", ")
	fd, file, _ := strings.Cut(strings.TrimSuffix(args[0], ">"), "<")
	if strings.HasPrefix(file, `\x`) { // some releases of strace write the names of files as they are
		file = string(plain(t, file))
	}
	switch {
	case name == "write" && fd == "1" && n > 0:
		for line := range strings.Lines(string(plain(t, args[1]))) {
			if said, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), sayMark); ok {
				events = append(events, event{kind: didSay, said: said})
			}
		}
	case file != path:
	case name == "pwrite64" && n > 0:
		return []event{{kind: didWrite, at: number(t, args[3]), data: plain(t, args[1])[:n]}}
	case name == "ftruncate" && n == 0:
		return []event{{kind: didResize, at: number(t, args[1])}}
	case (name == "fsync" || name == "fdatasync") && n == 0:
		return []event{{kind: didSync}}
	case name == "fsync" || name == "fdatasync":
		return []event{{kind: didFailToSync}}
	}
	return events
}

// plain returns the octets that a trace has in hexadecimal.
func plain(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Trim(s, `"`), `\x`, ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// story describes the last events, for a failure.
func story(events []event) string {
	var b strings.Builder
	for _, e := range events[max(0, len(events)-14):] {
		switch e.kind {
		case didWrite:
			fmt.Fprintf(&b, " write %d+%d", e.at, len(e.data))
		case didResize:
			fmt.Fprintf(&b, " resize %d", e.at)
		case didSync:
			b.WriteString(" sync")
		case didFailToSync:
			b.WriteString(" failed-sync")
		case didSay:
			fmt.Fprintf(&b, " %.60q", e.said)
		}
	}
	return b.String()
}
