//go:build unix

package verbs

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// itself is the name of the test binary as the command rollcall: rollcall alone, in a
// script, is the one that runs inside the test.
const itself = "rollcall-itself"

// TestMain makes the test binary the command rollcall, for what the scripts start, and a
// program that can be registered.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		itself: func() { os.Exit(Main(context.Background(), os.Args[1:])) },
		"node": node,
	})
}

// ignored are the signals that this process was started to ignore, as by nohup. It is told
// at the start only: see signal.Ignored.
var ignored = slices.DeleteFunc([]os.Signal{syscall.SIGHUP, syscall.SIGINT}, func(s os.Signal) bool { return !signal.Ignored(s) })

// heedSignals makes this process, and what it starts, ignore no signal.
var heedSignals = sync.OnceFunc(func() {
	if len(ignored) > 0 {
		signal.Notify(make(chan os.Signal, 1), ignored...)
	}
})

// TestScripts runs the files in testdata, which are the manual of the command. The commands
// that they use besides those of testscript are in commands_test.go.
func TestScripts(t *testing.T) {
	dir, err := filepath.Abs("testdata") // a script may run in another folder meanwhile
	if err != nil {
		t.Fatal(err)
	}
	heedSignals()
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			s := &script{dir: e.WorkDir, programs: map[string]*program{}}
			e.Values[scriptKey{}] = s
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Defer(s.end)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": cmdServe, "answers": cmdAnswers, "stop": cmdStop, "put": cmdPut, "rollcall": cmdRollcall, "status": cmdStatus,
			"start": cmdStart, "await": cmdAwait, "signal": cmdSignal, "ended": cmdEnded,
			"free": cmdFree, "cert": cmdCert, "rpc": cmdRPC,
		},
	})
}
