//go:build unix

package verbs

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the command rollcall, for the scripts, and a program that
// can be registered.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"rollcall": func() { os.Exit(Main(context.Background(), os.Args[1:])) },
		"node":     node,
	})
}

// TestScripts runs the files in testdata, which are the manual of the command. The commands
// that they use besides those of testscript are in commands_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			s := &script{dir: e.WorkDir, programs: map[string]*program{}}
			e.Values[scriptKey{}] = s
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Defer(s.end)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": cmdServe, "stop": cmdStop, "put": cmdPut, "status": cmdStatus,
			"start": cmdStart, "await": cmdAwait, "signal": cmdSignal, "ended": cmdEnded,
			"free": cmdFree, "cert": cmdCert, "rpc": cmdRPC,
		},
	})
}
