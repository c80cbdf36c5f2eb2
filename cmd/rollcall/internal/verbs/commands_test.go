//go:build unix

package verbs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/hook"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/view"
	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// script is what the commands of one script share.
type script struct {
	dir      string
	stop     func() error        // ends the dnsd that runs
	programs map[string]*program // by the name that the script gives
	open     []io.Closer
}

type scriptKey struct{}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

// scriptPatience is for a machine with a lot to do. A script waits for events only.
const scriptPatience = 30 * time.Second

func (s *script) end() {
	for _, p := range s.programs {
		p.cmd.Process.Kill()
		<-p.ended
	}
	if s.stop != nil {
		s.stop()
	}
	for _, c := range s.open {
		c.Close()
	}
}

// serve [COREFILE]: runs dnsd in this process, on free ports unless the Corefile names
// others. $HOOK and $DNS are its addresses then, and rollcall finds them.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	if s.stop != nil {
		ts.Fatalf("a dnsd runs already")
	}
	cfg := dnsd.Config{Zones: []dnsd.Zone{{Bind: []string{"127.0.0.1:0"}, Hook: dnsd.Hook{Addr: "127.0.0.1:0"}}}}
	if len(args) > 0 {
		// The variables are those of the script.
		text := regexp.MustCompile(`\{\$(\w+)\}`).ReplaceAllStringFunc(ts.ReadFile(args[0]), func(v string) string {
			return ts.Getenv(strings.Trim(v, "{$}"))
		})
		c, err := dnsd.ParseCorefile(ts.MkAbs(args[0]), []byte(text))
		ts.Check(err)
		cfg = c.Config
	}
	server, err := dnsd.New(cfg)
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	s.stop = func() error { cancel(); return <-ended }
	for name, value := range map[string]string{"HOOK": server.HookURL(), "DNS": server.DNSAddr().String()} {
		ts.Setenv(name, value)
		ts.Setenv("ROLLCALL_"+name, value)
	}
}

// answers PATH FILE: a hook that answers one path with a file. rollcall finds it.
func cmdAnswers(ts *testscript.TestScript, neg bool, args []string) {
	body := ts.ReadFile(args[1])
	h := http.NewServeMux()
	h.HandleFunc("GET "+args[0], func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	})
	s := httptest.NewServer(h)
	ts.Defer(s.Close)
	ts.Setenv("ROLLCALL_HOOK", s.URL)
}

// stop: ends dnsd.
func cmdStop(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(of(ts).stop())
	of(ts).stop = nil
	// A put to the next dnsd, which may have the same port, takes none of the old connections.
	http.DefaultClient.CloseIdleConnections()
}

// put SERVICE/ID JSON: registers an instance, as another program would.
func cmdPut(ts *testscript.TestScript, neg bool, args []string) {
	service, id, _ := strings.Cut(args[0], "/")
	req, err := http.NewRequest(http.MethodPut, ts.Getenv("HOOK")+"/v1/services/"+service+"/instances/"+id, strings.NewReader(args[1]))
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(resp.Body)
		ts.Fatalf("%s %s", resp.Status, text)
	}
}

// rollcall ARG...: runs the command, which must succeed.
func cmdRollcall(ts *testscript.TestScript, neg bool, args []string) {
	if got := inside(ts, args); got != 0 {
		ts.Fatalf("exit status %d, want 0", got)
	}
}

// status STATUS rollcall ARG...: runs the command, which must end with that exit status.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if args[1] != "rollcall" {
		ts.Fatalf("status is for rollcall, not for %s", args[1])
	}
	if got := inside(ts, args[2:]); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// process is the environment and the folder of the test's own process.
var process sync.Mutex

// inside runs the command in this process, which is faster by far than to start one,
// with the environment and the folder of the script.
func inside(ts *testscript.TestScript, args []string) int {
	process.Lock()
	defer process.Unlock()
	for _, name := range []string{hook.VarHook, hook.VarToken, hook.VarTokenFile, hook.VarCA, hook.VarCert, hook.VarKey, view.VarDNS} {
		before, was := os.LookupEnv(name)
		ts.Check(os.Setenv(name, ts.Getenv(name)))
		defer func() {
			if os.Unsetenv(name); was {
				os.Setenv(name, before)
			}
		}()
	}
	dir, err := os.Getwd()
	ts.Check(err)
	ts.Check(os.Chdir(of(ts).dir))
	defer func() { ts.Check(os.Chdir(dir)) }()
	return app().Main(context.Background(), args, cli.Streams{In: strings.NewReader(""), Out: ts.Stdout(), Err: ts.Stderr()})
}

// program is one that runs while the script goes on.
type program struct {
	cmd   *exec.Cmd
	lines chan string // of standard output and standard error
	ended chan struct{}
}

// start NAME PROGRAM ARG...: starts a program that runs while the script goes on.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	path := args[1]
	if path == "rollcall" {
		path = itself
	}
	if !strings.Contains(path, "/") {
		for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
			if p, err := exec.LookPath(filepath.Join(dir, path)); err == nil {
				path = p
				break
			}
		}
	}
	r, w, err := os.Pipe()
	ts.Check(err)
	p := &program{cmd: exec.Command(path, args[2:]...), lines: make(chan string, 10_000), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = of(ts).dir, w, w
	process.Lock() // else it may have a token of another script
	p.cmd.Env = os.Environ()
	process.Unlock()
	for _, name := range []string{"HOME", "PATH", "ROLLCALL_HOOK", "ROLLCALL_DNS"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(p.cmd.Start())
	w.Close()
	of(ts).programs[args[0]] = p
	var read sync.WaitGroup
	read.Go(func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(r); scan.Scan(); {
			p.lines <- scan.Text()
		}
		r.Close()
	})
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
}

func (s *script) program(ts *testscript.TestScript, name string) *program {
	p := s.programs[name]
	if p == nil {
		ts.Fatalf("no program %q was started", name)
	}
	return p
}

// await NAME PATTERN: waits for a line of a program that was started, and prints it.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	p, re := of(ts).program(ts, args[0]), regexp.MustCompile(args[1])
	var seen []string
	for timeout := time.After(scriptPatience); ; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				ts.Fatalf("%s ended without %q, after\n%s", args[0], args[1], strings.Join(seen, "\n"))
			}
			if re.MatchString(line) {
				fmt.Fprintln(ts.Stdout(), line)
				return
			}
			seen = append(seen, line)
		case <-timeout:
			ts.Fatalf("%s prints no %q, but\n%s", args[0], args[1], strings.Join(seen, "\n"))
		}
	}
}

// signal NAME HUP|USR1|TERM|INT|KILL: sends it to a program that was started.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	ts.Check(of(ts).program(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// ended NAME STATUS: waits until a program that was started has ended with that status.
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	p := of(ts).program(ts, args[0])
	select {
	case <-p.ended:
	case <-time.After(scriptPatience):
		ts.Fatalf("%s does not end", args[0])
	}
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s ended with status %s, want %s", args[0], got, args[1])
	}
}

// free NAME: $NAME is a port of 127.0.0.1 that is free, and stays so.
func cmdFree(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strconv.Itoa(int(freeaddr.Take(1)[0].Port())))
}
