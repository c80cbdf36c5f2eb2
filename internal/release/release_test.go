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
