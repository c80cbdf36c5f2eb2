package verbs

import (
	"bytes"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
)

// TestAFlagThatIsMisspeltIsNamed for each flag of each command, and nothing is done.
func TestAFlagThatIsMisspeltIsNamed(t *testing.T) {
	for _, c := range app().Commands {
		set := flag.NewFlagSet("", flag.ContinueOnError)
		c.Make(set)
		set.VisitAll(func(f *flag.Flag) {
			for _, word := range []string{"-" + f.Name + "x", "--" + f.Name + "s"} {
				if set.Lookup(strings.TrimLeft(word, "-")) != nil {
					continue
				}
				var errs bytes.Buffer
				args := append(strings.Fields(c.Name), word)
				status := app().Main(t.Context(), args, cli.Streams{Out: io.Discard, Err: &errs})
				if status != cli.Usage || !strings.Contains(errs.String(), "did you mean -") {
					t.Errorf("rollcall %s: status %d, %s", strings.Join(args, " "), status, &errs)
				}
			}
		})
	}
}
