package testenv

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/page"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`) // of Markdown: its target
	code         = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
)

func TestLinksOfTheDocumentsLeadSomewhere(t *testing.T) {
	links := 0
	for _, p := range page.All(t) {
		for _, m := range markdownLink.FindAllStringSubmatch(code.ReplaceAllString(p.Text, ""), -1) {
			target := m[1]
			if strings.Contains(target, "://") {
				continue
			}
			links++
			path, anchor, _ := strings.Cut(target, "#")
			full := p.Path
			if path != "" {
				full = filepath.ToSlash(filepath.Join(filepath.Dir(p.Path), path))
			}
			info, err := os.Stat(filepath.Join("..", full))
			switch {
			case err != nil:
				t.Errorf("%s: %s: there is no such file", p.Path, target)
			case anchor != "" && info.IsDir():
				t.Errorf("%s: %s: a folder has no headings", p.Path, target)
			case anchor != "" && !slices.Contains(page.Read(t, full).Anchors(), anchor):
				t.Errorf("%s: %s: %s has no such heading", p.Path, target, full)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d links were seen", links)
	}
}

// A page that nothing leads to is not read. README.md leads to all, and that of a folder to
// the others in it.
func TestEachDocumentIsLinkedFromREADME(t *testing.T) {
	const folder = "docs/integrations/"
	for _, p := range page.All(t) {
		from, link := "README.md", p.Path
		if name, in := strings.CutPrefix(p.Path, folder); in && name != "README.md" {
			from, link = folder+"README.md", name
		}
		if p.Path != from && !strings.Contains(page.Read(t, from).Text, "]("+link) {
			t.Errorf("%s does not link %s", from, p.Path)
		}
	}
}

// goBlock is a block of Go with all of its text.
var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```")

// TestProgramsOfTheDocumentsBuild builds each block of Go that is a whole program, or
// that makes a client.
func TestProgramsOfTheDocumentsBuild(t *testing.T) {
	// Within the module, for its imports; ./... leaves out what begins with _.
	dir, err := os.MkdirTemp(".", "_documents")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	programs := []string{"vet"}
	for _, p := range page.All(t) {
		for i, m := range goBlock.FindAllStringSubmatch(p.Text, -1) {
			program := m[1]
			if strings.HasPrefix(program, "client, err := ") {
				program = wholeProgram(program)
			}
			if !strings.Contains(program, "package ") {
				continue
			}
			name := strings.NewReplacer("/", "_", ".md", "").Replace(p.Path) + string(rune('a'+i))
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			file := "main.go"
			if strings.Contains(program, `"testing"`) {
				file = "main_test.go"
			}
			if err := os.WriteFile(filepath.Join(dir, name, file), []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			programs = append(programs, "./"+dir+"/"+name)
		}
	}
	if n := len(programs) - 1; n < 8 {
		t.Errorf("only %d programs were found", n)
	}
	out, err := exec.Command("go", programs...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = exec.Command("gofmt", "-l", dir).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("not formatted, %v:\n%s", err, out)
	}
}

// wholeProgram makes a program of lines that make a client.
func wholeProgram(lines string) string {
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n")
	for _, path := range []string{"net/rpc", "github.com/rollcall-dns/rollcall/resolver", "github.com/rollcall-dns/rollcall/rpcclient"} {
		if strings.Contains(lines, path[strings.LastIndex(path, "/")+1:]+".") {
			fmt.Fprintf(&b, "\t%q\n", path)
		}
	}
	b.WriteString(")\n\nfunc main() {\n")
	for line := range strings.Lines(lines) {
		b.WriteString("\t" + line)
	}
	b.WriteString("\t_, _ = client, err\n}\n")
	return b.String()
}

// Each whole Corefile of a document is one that dnsd takes, with all variables set.
func TestCorefilesOfTheDocumentsAreGood(t *testing.T) {
	certificate, key := certificate(t, "localhost")
	corefiles := 0
	for _, p := range page.All(t) {
		for _, m := range regexp.MustCompile(`<!-- ci: (\S+\.corefile) -->`).FindAllStringSubmatch(p.Text, -1) {
			corefiles++
			text := p.Block(t, m[1])
			for _, v := range regexp.MustCompile(`\{\$([A-Z_]+)\}`).FindAllStringSubmatch(text, -1) {
				t.Setenv(v[1], "0123456789abcdef0123456789abcdef")
			}
			text = regexp.MustCompile(`tls \S+ \S+`).ReplaceAllString(text, "tls "+certificate+" "+key)
			if _, err := dnsd.ParseCorefile(m[1], []byte(text)); err != nil {
				t.Errorf("%s: %v\n%s", p.Path, err, text)
			}
		}
	}
	if corefiles < 2 {
		t.Errorf("only %d Corefiles were found", corefiles)
	}
}

// The unit of the packages, and that of a document, are ones that systemd takes.
func TestUnitsOfTheDocumentsAreGood(t *testing.T) {
	verify := peertest.Need(t, "systemd-analyze")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"dnsd.service":          page.Read(t, "packaging/dnsd.service").Text,
		"math-register.service": page.Read(t, "docs/integrations/programs.md").Block(t, "math-register.service"),
	} {
		text = strings.ReplaceAll(text, "/usr/bin/dnsd", "/bin/true")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "math.service"), []byte("[Service]\nExecStart=/bin/true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	units, err := fs.Glob(os.DirFS(dir), "*.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		if out, err := exec.Command(verify, "verify", "--man=no", filepath.Join(dir, u)).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", u, err, out)
		}
	}
}

// "Reading the source" in ARCHITECTURE.md names functions that are there, and files
// beside them.
func TestReadingTheSourceNamesWhatIsThere(t *testing.T) {
	_, guide, ok := strings.Cut(page.Read(t, "ARCHITECTURE.md").Text, "## Reading the source\n")
	if !ok {
		t.Fatal(`ARCHITECTURE.md has no "Reading the source"`)
	}
	entry := regexp.MustCompile("(?ms)^### `(?:(\\w+)\\.)?(\\w+)` in `(\\S+)`\n(.*?)(?:^#|\\z)")
	entries := 0
	for {
		m := entry.FindStringSubmatchIndex(guide)
		if m == nil {
			break
		}
		group := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return guide[m[2*i]:m[2*i+1]]
		}
		receiver, name, path, text := group(1), group(2), group(3), group(4)
		guide = guide[m[9]:]
		entries++
		declared := regexp.MustCompile(`(?m)^func ` + name + `\(`)
		if receiver != "" {
			declared = regexp.MustCompile(`(?m)^func \(\w+ \*?` + receiver + `\) ` + name + `\(`)
		}
		if !declared.MatchString(page.Read(t, path).Text) {
			t.Errorf("%s has no %s.%s", path, receiver, name)
		}
		for _, file := range regexp.MustCompile("`(\\w+\\.go)`").FindAllStringSubmatch(text, -1) {
			page.Read(t, filepath.Join(filepath.Dir(path), file[1]))
		}
	}
	if entries != 10 {
		t.Errorf("%d entries, want 10", entries)
	}
}

// Each package has its row in the table of rooms, or is named in that of another.
func TestArchitectureHasEachRoom(t *testing.T) {
	_, rooms, ok := strings.Cut(page.Read(t, "ARCHITECTURE.md").Text, "## Rooms\n")
	if !ok {
		t.Fatal(`ARCHITECTURE.md has no "Rooms"`)
	}
	rooms, _, _ = strings.Cut(rooms, "\n## ")
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)/`").FindAllStringSubmatch(rooms, -1) {
		if info, err := os.Stat(filepath.Join("..", m[1])); err != nil || !info.IsDir() {
			t.Errorf("there is no room %s", m[1])
		}
	}
	out, err := exec.Command("go", "list", "../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		room := strings.TrimPrefix(path, "github.com/rollcall-dns/rollcall/")
		if strings.HasPrefix(room, "bench/") {
			continue
		}
		if !strings.Contains(rooms, "`"+room+"/`") && !strings.Contains(rooms, "`"+filepath.Base(room)+"/`") {
			t.Errorf("no row has the room %s", room)
		}
	}
}
