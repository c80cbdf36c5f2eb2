package page

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
)

func TestAPageHasItsBlocksAndAnchors(t *testing.T) {
	p := Page{"docs/x.md", "# Forwarding the zone, `svc.`\n\n<!-- ci: a -->\n```ini\n# none\n[Resolve]\n```\n\n<!-- ci: b -->\n```\nopen\n"}
	if have, want := p.Block(t, "a"), "# none\n[Resolve]\n"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
	if have, want := p.Anchors(), []string{"forwarding-the-zone-svc"}; !slices.Equal(have, want) {
		t.Errorf("%q, want %q", have, want)
	}
	for name, want := range map[string]string{"b": "docs/x.md: the block b does not end", "c": "docs/x.md has no block c"} {
		r := &record{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Block(r, name)
		}()
		<-done
		if r.fatal != want {
			t.Errorf("%q, want %q", r.fatal, want)
		}
	}
}

// A record is a test that has failed.
type record struct {
	testing.TB
	fatal string
}

func (r *record) Helper() {}

func (r *record) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestAllPagesHaveAPathFromTheTop(t *testing.T) {
	var paths []string
	for _, p := range All(t) {
		paths = append(paths, p.Path)
	}
	for _, want := range []string{"README.md", "docs/corefile.md", "docs/integrations/README.md"} {
		if !slices.Contains(paths, want) {
			t.Errorf("%s is not among %q", want, paths)
		}
	}
}
