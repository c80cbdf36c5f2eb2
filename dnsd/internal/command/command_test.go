//go:build unix

package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the command dnsd, for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dnsd": func() {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr, nil))
	}})
}

// TestScripts runs the files in testdata, which are the manual of the command.
// script_test.go has the commands that they use besides those of testscript.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			s := &script{dir: e.WorkDir}
			e.Values[scriptKey{}] = s
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home")) // files of memory stores go below it
			e.Defer(s.end)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": cmdServe, "log": cmdLog, "signal": cmdSignal, "exit": cmdExit, "deaf": cmdDeaf,
			"http": cmdHTTP, "dns": cmdDNS, "listen": cmdListen, "free": cmdFree, "cert": cmdCert,
			"systemd": cmdSystemd, "notified": cmdNotified,
		},
	})
}
