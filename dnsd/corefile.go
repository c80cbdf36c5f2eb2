package dnsd

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	s, err := scan(file, text)
	if err != nil {
		return Config{}, hide(err, s.values)
	}
	c, err := parse(file, text, s.heads)
	return c, hide(err, s.values)
}

// parse is ParseCorefile of a text that scan has found good.
func parse(file string, text []byte, heads map[string][]int) (Config, error) {
	blocks, err := parseBlocks(file, text, heads)
	if err != nil {
		return Config{}, err
	}
	if len(blocks) == 0 {
		return Config{}, fmt.Errorf("%s:1: no server block; expected one such as svc:5300 { }", file)
	}
	var c Config
	var readers []*blockReader
	process := map[string]line{}
	for _, b := range blocks {
		d := &blockReader{section: b, dir: filepath.Dir(file), config: &c, process: process}
		readers = append(readers, d)
		if err := d.head(); err != nil {
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
		c.Zones = append(c.Zones, d.zone)
	}
	whole, err := c.withDefaults()
	var bad *zoneError
	if errors.As(err, &bad) {
		return Config{}, fmt.Errorf("%s: zone %s: %w", readers[bad.index].placeOf(bad.err), bad.name, bad.err)
	}
	return whole, err
}

// A blockReader turns one server block into a Zone.
type blockReader struct {
	section
	dir    string // relative paths start here
	config *Config
	zone   Zone
	port   string
	hosts  []string // of bind
	seen   map[string]line
	// process holds the lines, of all blocks, that the whole process has once.
	process map[string]line
}

// head reads the head of the block: zone names, each with an optional port.
func (d *blockReader) head() error {
	d.seen = map[string]line{}
	for i, key := range d.keys {
		name, port := key, ""
		if i := strings.LastIndexByte(key, ':'); i >= 0 {
			name, port = key[:i], key[i+1:]
			if n, err := strconv.ParseUint(port, 10, 16); err != nil {
				return fmt.Errorf("%s: zone %q: bad port %q; expected a number from 0 to 65535 as in svc:5300", d.place(), key, port)
			} else {
				port = strconv.FormatUint(n, 10)
			}
		}
		if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
			return fmt.Errorf("%s: zone %q: expected a zone name as in svc:5300 { }; an address goes inside, as in bind %v", d.place(), key, addr)
		}
		if name == "" || strings.ContainsFunc(name, notInZone) {
			return fmt.Errorf("%s: zone %q: expected a zone name as in svc:5300 { }", d.place(), key)
		}
		if _, word := directives[name]; word && i > 0 && port == "" {
			return fmt.Errorf("%s: zone %q: %s is a directive; is there no brace before it?", d.place(), key, name)
		}
		if port != "" && d.port != "" && port != d.port {
			return fmt.Errorf("%s: zone %q: the block has port %s already; give each port a block of its own", d.place(), key, d.port)
		}
		if port != "" {
			d.port = port
		}
		d.zone.Origins = append(d.zone.Origins, name)
	}
	return nil
}

// notInZone says whether a zone's name has no place for r. Names of other scripts are
// written as DNS has them, xn--...
func notInZone(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
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
	if err := l.noEmptyWord(); err != nil {
		return err
	}
	if l.open && !def.block {
		return l.errorf("takes no block in braces")
	}
	return def.read(d, l)
}

// noEmptyWord refuses an empty word anywhere in the line: what it should have said is
// not there, and to go on without it may leave a door open.
func (l line) noEmptyWord() error {
	if i := slices.Index(l.args, ""); i >= 0 {
		return l.errorf("word %d is empty", i)
	}
	for _, sub := range l.block {
		if err := sub.noEmptyWord(); err != nil {
			return err
		}
	}
	return nil
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
// begins with the directive's name, and that of a line in its braces may follow.
func (d *blockReader) placeOf(err error) string {
	name, rest, _ := strings.Cut(err.Error(), ": ")
	if l, ok := d.seen[name]; ok {
		word, _, _ := strings.Cut(rest, ": ")
		if i := slices.IndexFunc(l.block, func(sub line) bool { return sub.name() == word }); i >= 0 {
			l = l.block[i]
		}
		return fmt.Sprintf("%s:%d", l.file, l.no)
	}
	return d.place()
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
	if near, ok := nearest(word, words); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "expected one of " + strings.Join(words, ", ")
}

// nearest is the one of words that word was probably meant to be.
func nearest(word string, words []string) (near string, ok bool) {
	near = slices.MinFunc(words, func(a, b string) int { return distance(word, a) - distance(word, b) })
	d := distance(word, near)
	return near, d <= 2 && 2*d < len(word)
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
