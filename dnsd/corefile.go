package dnsd

import (
	"bytes"
	"fmt"
	"log"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/coredns/caddy/caddyfile"
)

// ReadCorefile reads and parses the file at path.
func ReadCorefile(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("dnsd: read Corefile: %w", err)
	}
	return ParseCorefile(path, text)
}

// ParseCorefile turns the text of a Corefile into a Config with every default
// filled in. The syntax is Caddyfile's: server blocks, {$ENV}, import, snippets;
// relative paths are relative to the file. An error names file, line, directive
// and what was expected there.
func ParseCorefile(file string, text []byte) (Config, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return Config{}, fmt.Errorf("%s:1: empty file; expected a server block such as svc:5300 { }", file)
	}
	blocks, err := parseBlocks(file, text)
	if err != nil {
		return Config{}, err
	}
	if len(blocks) == 0 {
		return Config{}, fmt.Errorf("%s:1: no server block; expected one such as svc:5300 { }", file)
	}
	var c Config
	seen := map[string]string{} // origin -> place
	for _, b := range blocks {
		d := &blockReader{file: file, dir: filepath.Dir(file), config: &c}
		if err := d.keys(b); err != nil {
			return Config{}, err
		}
		for _, l := range b.lines {
			if err := d.directive(l); err != nil {
				return Config{}, err
			}
		}
		if err := d.finish(); err != nil {
			return Config{}, err
		}
		z, err := d.zone.withDefaults()
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", d.placeOf(err, b), err)
		}
		for _, o := range z.Origins {
			if at, twice := seen[o]; twice {
				return Config{}, fmt.Errorf("%s: zone %s stands at %s already", b.place(), o, at)
			}
			seen[o] = b.place()
		}
		c.Zones = append(c.Zones, z)
	}
	return c.withDefaults()
}

// A line is one directive, or one line inside a directive's braces.
type line struct {
	file  string
	no    int
	args  []string // args[0] is the directive
	block []line
	open  bool // braces stood there, if only empty ones
}

func (l line) name() string { return l.args[0] }

// errorf says what is wrong in this line: "Corefile:12: lease: bad duration".
func (l line) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s: %w", l.file, l.no, l.name(), fmt.Errorf(format, args...))
}

type section struct {
	file  string
	keys  []string
	lines []line
}

func (b section) place() string {
	if len(b.lines) > 0 {
		return fmt.Sprintf("%s:%d", b.file, b.lines[0].no)
	}
	return b.file
}

// caddyPlace is how caddyfile spells a place in its errors.
var caddyPlace = regexp.MustCompile(`^(.*):(\d+) - (?:Error during parsing|Syntax error): (.*)$`)

// parseBlocks gives the structure of a Corefile: blocks of lines, in the order
// of the file.
func parseBlocks(file string, text []byte) ([]section, error) {
	// caddyfile tells of an import pattern that matches nothing on the standard
	// logger only. It is taken along here and made an error.
	var warnings bytes.Buffer
	restore := divertLog(&warnings)
	parsed, err := caddyfile.Parse(file, bytes.NewReader(text), nil)
	restore()
	if err != nil {
		if m := caddyPlace.FindStringSubmatch(err.Error()); m != nil {
			msg := strings.ToLower(m[3][:1]) + m[3][1:]
			if m[3] == "Unexpected EOF" || strings.HasSuffix(m[3], "expecting '}'") {
				msg = "unexpected end of file; expected a closing brace"
			}
			return nil, fmt.Errorf("%s:%s: %s", m[1], m[2], msg)
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if warnings.Len() > 0 {
		msg := strings.TrimSpace(strings.TrimPrefix(warnings.String(), "[WARNING] "))
		return nil, fmt.Errorf("%s: import: %s", file, strings.ToLower(msg[:1])+msg[1:])
	}
	var blocks []section
	for _, p := range parsed {
		b := section{file: file, keys: p.Keys}
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
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// divertLog sends the standard logger to w without prefix until the returned
// function is called.
func divertLog(w *bytes.Buffer) func() {
	old, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	log.SetOutput(w)
	log.SetFlags(0)
	log.SetPrefix("")
	return func() { log.SetOutput(old); log.SetFlags(flags); log.SetPrefix(prefix) }
}

// splitLines groups a directive's tokens, which caddyfile gives flat (a repeated
// directive's runs one after another), into lines and nested blocks.
func splitLines(file string, tokens []caddyfile.Token) ([]line, error) {
	lines, rest, err := nestLines(file, tokens, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%s:%d: unexpected %q", place(file, rest[0]), rest[0].Line, rest[0].Text)
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
				return nil, nil, fmt.Errorf("%s:%d: unexpected {", place(file, t), t.Line)
			}
			l := &lines[len(lines)-1]
			if l.no != t.Line {
				return nil, nil, fmt.Errorf("%s:%d: unexpected {; it must stand on the line of its directive", place(file, t), t.Line)
			}
			l.open = true
			if l.block, tokens, err = nestLines(file, tokens[1:], depth+1); err != nil {
				return nil, nil, err
			}
			continue
		}
		if n := len(lines); n > 0 && !lines[n-1].open && lines[n-1].no == t.Line && lines[n-1].file == place(file, t) {
			lines[n-1].args = append(lines[n-1].args, t.Text)
		} else {
			lines = append(lines, line{file: place(file, t), no: t.Line, args: []string{t.Text}})
		}
		tokens = tokens[1:]
	}
	return lines, nil, nil
}

// place is the file a token stands in: the imported one, or the Corefile.
func place(file string, t caddyfile.Token) string {
	if t.File != "" {
		return t.File
	}
	return file
}

// A blockReader turns one server block into a Zone.
type blockReader struct {
	file   string
	dir    string // relative paths start here
	config *Config
	zone   Zone
	port   string
	hosts  []string // of bind
	seen   map[string]line
}

// keys reads the head of the block: zone names, each with an optional port.
func (d *blockReader) keys(b section) error {
	d.seen = map[string]line{}
	for _, key := range b.keys {
		name, port := key, ""
		if i := strings.LastIndexByte(key, ':'); i >= 0 {
			name, port = key[:i], key[i+1:]
			if n, err := strconv.ParseUint(port, 10, 16); err != nil {
				return fmt.Errorf("%s: zone %q: bad port %q; expected a number from 0 to 65535 as in svc:5300", b.place(), key, port)
			} else {
				port = strconv.FormatUint(n, 10)
			}
		}
		if name == "" || strings.ContainsAny(name, "{}/\\ \t") {
			return fmt.Errorf("%s: zone %q: expected a zone name as in svc:5300 { }", b.place(), key)
		}
		if port != "" && d.port != "" && port != d.port {
			return fmt.Errorf("%s: zone %q: the block has port %s already; give each port a block of its own", b.place(), key, d.port)
		}
		if port != "" {
			d.port = port
		}
		d.zone.Origins = append(d.zone.Origins, name)
	}
	return nil
}

// directive reads one line of the block by the table of directives.
func (d *blockReader) directive(l line) error {
	def, known := directives[l.name()]
	if !known {
		return fmt.Errorf("%s:%d: unknown directive %q; %s", l.file, l.no, l.name(), suggest(l.name(), slices.Sorted(maps.Keys(directives))))
	}
	if before, twice := d.seen[l.name()]; twice && !def.repeats {
		return l.errorf("stands at %s:%d already", before.file, before.no)
	}
	d.seen[l.name()] = l
	if l.open && !def.block {
		return l.errorf("takes no block in braces")
	}
	return def.read(d, l)
}

// finish joins bind's hosts with the port of the block's keys.
func (d *blockReader) finish() error {
	port := d.port
	if port == "" {
		_, port, _ = net.SplitHostPort(DefaultDNS)
	}
	hosts := d.hosts
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1"}
	}
	for _, h := range hosts {
		if _, err := netip.ParseAddr(h); err != nil {
			return d.seen["bind"].errorf("bad address %q; expected an IP address without port (the port stands behind the zone name)", h)
		}
		d.zone.Bind = append(d.zone.Bind, net.JoinHostPort(h, port))
	}
	return nil
}

// placeOf finds the line that an error of Zone.withDefaults speaks of: its text
// begins with the directive's name.
func (d *blockReader) placeOf(err error, b section) string {
	name, _, _ := strings.Cut(err.Error(), ":")
	if l, ok := d.seen[name]; ok {
		return fmt.Sprintf("%s:%d", l.file, l.no)
	}
	return b.place()
}

// path makes a path of the Corefile absolute to the Corefile's folder.
func (d *blockReader) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(d.dir, p)
}

// suggest names the word that was probably meant, or all of them.
func suggest(word string, words []string) string {
	nearest := slices.MinFunc(words, func(a, b string) int { return distance(word, a) - distance(word, b) })
	if distance(word, nearest) <= 2 {
		return fmt.Sprintf("did you mean %q?", nearest)
	}
	return "expected one of " + strings.Join(words, ", ")
}

// distance is the edit distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost = 1 + min(prev, row[j], row[j+1])
			}
			prev, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
