//go:build unix

package testenv

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Registrations, queries and the end of the process do not wait for the reader of a
// full pipe.
func TestDnsdsLogIsNotRead(t *testing.T) {
	command := filepath.Join(t.TempDir(), "dnsd")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", command, "../dnsd/cmd/dnsd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(command, "-dns", "127.0.0.1:0", "-hook", "127.0.0.1:0")
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	w.Close()
	// The test reads the line with the addresses, which is one of the first, and no more.
	var started struct{ Serves string }
	for log := bufio.NewReaderSize(r, 16); started.Serves == ""; {
		line, err := log.ReadBytes('\n')
		if err != nil || json.Unmarshal(line, &started) != nil {
			t.Fatalf("the log begins with %q (%v)", line, err)
		}
	}
	where := regexp.MustCompile(`on (\S+) \(.*hook (\S+),`).FindStringSubmatch(started.Serves)
	if where == nil {
		t.Fatalf("it serves %s", started.Serves)
	}
	client := &http.Client{Timeout: 20 * time.Second}
	for i := range 1000 { // some 300 octets each: a pipe takes 64 KiB
		req, _ := http.NewRequest("PUT", fmt.Sprintf("%s/v1/services/_math._tcp/instances/a%d", where[2], i), strings.NewReader(`{"port":80}`))
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("registration %d: %v", i, err)
		}
		resp.Body.Close()
	}
	m := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
	m.SetTsig("nobody.", dns.HmacSHA256, 300, time.Now().Unix()) // is logged
	c := &dns.Client{Timeout: 10 * time.Second, TsigSecret: map[string]string{"nobody.": "c2VjcmV0"}}
	for range 3 {
		if resp, _, err := c.Exchange(m.Copy(), where[1]); resp == nil {
			t.Fatalf("query: %v", err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
}
