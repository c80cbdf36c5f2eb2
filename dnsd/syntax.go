package dnsd

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/coredns/caddy/caddyfile"
)

// A section is the text of a server block.
type section struct {
	file  string
	no    int // line of its head; 0: not known, because its name is a variable
	keys  []string
	lines []line
}

// place is the line in which the section begins, or else that of its first directive.
func (b section) place() string {
	switch {
	case b.no > 0:
		return fmt.Sprintf("%s:%d", b.file, b.no)
	case len(b.lines) > 0:
		return b.lines[0].place()
	}
	return b.file
}

// caddyPlace is how caddyfile spells a place in its errors.
var caddyPlace = regexp.MustCompile(`^(.*):(\d+) - (?:Error during parsing|Syntax error): (.*)$`)

// parseSections gives the structure of a Corefile: server blocks of lines, in the order
// of the file. heads are the lines in which the blocks begin.
func parseSections(file string, text []byte, heads map[string][]int) ([]section, error) {
	parsed, err := caddyfile.Parse(file, bytes.NewReader(text), nil)
	if err != nil {
		if m := caddyPlace.FindStringSubmatch(err.Error()); m != nil {
			msg := strings.ToLower(m[3][:1]) + m[3][1:]
			if m[3] == "Unexpected EOF" || strings.HasSuffix(m[3], "expecting '}'") {
				msg = "unexpected end of file; expected a closing brace for each opening one"
			}
			return nil, fmt.Errorf("%s:%s: %s", m[1], m[2], msg)
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var sections []section
	for _, p := range parsed {
		b := section{file: file, keys: p.Keys}
		if at := heads[p.Keys[0]]; len(at) > 0 {
			b.no, heads[p.Keys[0]] = at[0], at[1:]
		}
		for _, tokens := range p.Tokens {
			lines, err := splitLines(file, tokens)
			if err != nil {
				return nil, err
			}
			b.lines = append(b.lines, lines...)
		}
		slices.SortStableFunc(b.lines, func(a, b line) int {
			if a.file != b.file {
				return strings.Compare(a.file, b.file)
			}
			return a.no - b.no
		})
		sections = append(sections, b)
	}
	return sections, nil
}

// splitLines groups a directive's tokens, which caddyfile gives flat (a repeated
// directive's runs one after another), into lines, and lines in braces.
func splitLines(file string, tokens []caddyfile.Token) ([]line, error) {
	lines, rest, err := nestLines(file, tokens, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%s:%d: unexpected %q", fileOf(file, rest[0]), rest[0].Line, rest[0].Text)
	}
	return lines, err
}

// maxNesting bounds braces within braces; the deepest directive needs two.
const maxNesting = 4

func nestLines(file string, tokens []caddyfile.Token, depth int) (lines []line, rest []caddyfile.Token, err error) {
	for len(tokens) > 0 {
		t := tokens[0]
		switch {
		case t.Text == "}":
			if depth == 0 {
				return lines, tokens, nil
			}
			return lines, tokens[1:], nil
		case t.Text == "{":
			if len(lines) == 0 || lines[len(lines)-1].open || depth >= maxNesting {
				return nil, nil, fmt.Errorf("%s:%d: unexpected {", fileOf(file, t), t.Line)
			}
			l := &lines[len(lines)-1]
			if l.no != t.Line {
				return nil, nil, fmt.Errorf("%s:%d: unexpected {; it must be on the line of its directive", fileOf(file, t), t.Line)
			}
			l.open = true
			if len(tokens) > 1 && tokens[1].Line == t.Line && tokens[1].File == t.File {
				return nil, nil, fmt.Errorf("%s:%d: %s: %q is on the line of the opening brace; begin a new line after the brace", fileOf(file, t), t.Line, l.name(), tokens[1].Text)
			}
			if l.braces, tokens, err = nestLines(file, tokens[1:], depth+1); err != nil {
				return nil, nil, err
			}
			continue
		}
		if n := len(lines); t.Text == "{}" && n > 0 && !lines[n-1].open && lines[n-1].no == t.Line {
			lines[n-1].open = true // empty braces without a blank between them
		} else if n > 0 && !lines[n-1].open && lines[n-1].no == t.Line && lines[n-1].file == fileOf(file, t) {
			lines[n-1].args = append(lines[n-1].args, t.Text)
		} else {
			lines = append(lines, line{file: fileOf(file, t), no: t.Line, args: []string{t.Text}})
		}
		tokens = tokens[1:]
	}
	return lines, nil, nil
}

// fileOf is the file that a token is in: the imported one, or the Corefile.
func fileOf(file string, t caddyfile.Token) string {
	if t.File != "" {
		return t.File
	}
	return file
}

// Tests: corefile_test.go, sources_test.go.
