package release

import (
	"runtime"
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

func TestABuildIsThatOfTheRelease(t *testing.T) {
	stamp = "v1.2.3 abcdef"
	defer func() { stamp = "" }()
	if version, commit := Build(); version != "v1.2.3" || commit != "abcdef" {
		t.Errorf("version %q, commit %q", version, commit)
	}
}
