package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the command dnsd, for the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dnsd": main})
}

// The scripts in dnsd/internal/command/testdata are those of both commands. Here is what
// the full one says of shared stores before it opens them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireExplicitExec: true})
}
