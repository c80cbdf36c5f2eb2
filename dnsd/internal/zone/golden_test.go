package zone

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/tools/txtar"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// TestAnswers holds the answers against testdata/answer. A file states its rule
// in the comment, the instances in its first section, in its name the origin if
// it is not svc., and then a section for each question, named by it: name, type,
// and the limit of the message if not 1232.
func TestAnswers(t *testing.T) {
	files, err := filepath.Glob("testdata/answer/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var ins []*registry.Instance
			for line := range strings.Lines(string(ar.Files[0].Data)) {
				ins = append(ins, parseInstance(t, line))
			}
			cfg := testConfig()
			if _, origin, ok := strings.Cut(ar.Files[0].Name, " "); ok {
				cfg = reverseConfig(origin)
			}
			z := newTestZone(t, cfg, 7, ins...)
			for i := range ar.Files[1:] {
				f := &ar.Files[i+1]
				q := strings.Fields(f.Name)
				limit := 1232
				if len(q) > 2 {
					if limit, err = strconv.Atoi(q[2]); err != nil {
						t.Fatal(err)
					}
				}
				qtype, ok := dns.StringToType[q[1]]
				if !ok {
					t.Fatalf("%s: no such type", f.Name)
				}
				msg, c, err := Pack(question(q[0], qtype), z.Lookup(q[0], qtype), limit)
				if err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
				if c.Rcode != dns.RcodeRefused && len(msg) > limit {
					t.Errorf("%s: %d octets", f.Name, len(msg))
				}
				got := dig(message(t, msg, c), c)
				if *update {
					f.Data = []byte(got)
				} else if got != string(f.Data) {
					t.Errorf("%s:\ngot:\n%s\nwant:\n%s", f.Name, got, f.Data)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
