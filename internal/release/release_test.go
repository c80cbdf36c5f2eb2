package release

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersionEndsWithThatOfGo(t *testing.T) {
	for _, s := range []string{"", "v1.2.3 abcdef"} {
		stamp = s
		if got := Version(); !strings.HasPrefix(got, s) || !strings.HasSuffix(got, " "+runtime.Version()) {
			t.Errorf("stamped %q: %q", s, got)
		}
	}
}

func TestTheVersionOfRollcallInAnotherProgram(t *testing.T) {
	stamp = ""
	dep := &debug.Module{Path: module, Version: "v1.2.3"}
	for main, want := range map[string]string{module: "v2.0.0", module + "/dnsd/cluster": "v2.0.0", "example.com/other": "v1.2.3", module + "x": "v1.2.3"} {
		info := &debug.BuildInfo{Main: debug.Module{Path: main, Version: "v2.0.0"}, Deps: []*debug.Module{{Path: "example.com/a"}, dep}}
		if got := rollcall(info); got != want {
			t.Errorf("main module %s: %s, want %s", main, got, want)
		}
	}
	if got := rollcall(&debug.BuildInfo{Main: debug.Module{Version: "v3"}}); got != "v3" {
		t.Errorf("without the module: %s", got)
	}
	stamp = "v4.0.0 abcdef"
	defer func() { stamp = "" }()
	if got := Rollcall(); got != "v4.0.0" {
		t.Errorf("stamped: %s", got)
	}
}

func TestABuildIsThatOfTheRelease(t *testing.T) {
	stamp = "v1.2.3 abcdef"
	defer func() { stamp = "" }()
	if version, commit := Build(); version != "v1.2.3" || commit != "abcdef" {
		t.Errorf("version %q, commit %q", version, commit)
	}
}
