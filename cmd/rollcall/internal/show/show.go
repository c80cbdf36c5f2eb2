// Package show prints what commands found: tables for people, JSON for programs. Text
// that came over a socket is made harmless before it reaches a terminal.
package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Table is rows under a head, in columns.
type Table struct {
	rows [][]string
}

// NewTable returns a table with these titles of columns.
func NewTable(head ...string) *Table { return &Table{rows: [][]string{head}} }

// Row adds a row. Each cell is printed as fmt.Sprint does, and an empty one as "-".
func (t *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		if row[i] = Clean(fmt.Sprint(c)); row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// Write prints the table.
func (t *Table) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		// A cell without a tab after it is not padded, so no line ends in spaces.
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

// JSON prints v, indented.
func JSON(w io.Writer, v any) error { return encode(w, v, "  ") }

// Line prints v as JSON on one line.
func Line(w io.Writer, v any) error { return encode(w, v, "") }

// encode escapes also what JSON may have as it is, and a terminal obeys.
func encode(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	text := b.Bytes()
	steers := func(r rune) bool { return r != '\n' && harmful(r) } // JSON has it in texts only
	if bytes.ContainsFunc(text, steers) {
		escaped := make([]byte, 0, len(text)+64)
		for _, r := range string(text) {
			if !steers(r) {
				escaped = utf8.AppendRune(escaped, r)
				continue
			}
			for _, unit := range utf16.AppendRune(nil, r) { // RFC 8259 section 7
				escaped = fmt.Appendf(escaped, `\u%04x`, unit)
			}
		}
		text = escaped
	}
	_, err := w.Write(text)
	return err
}

// Clean is s without what would move the cursor, end a line, or change the order of
// what is read: such characters are written as Go writes them, "\x1b".
func Clean(s string) string {
	if !strings.ContainsFunc(s, harmful) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if harmful(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Harmless is w for text that has parts that came over a socket: each line is written as
// by Clean.
func Harmless(w io.Writer) io.Writer { return harmless{w} }

type harmless struct{ w io.Writer }

func (h harmless) Write(p []byte) (int, error) {
	lines := strings.Split(string(p), "\n")
	for i, line := range lines {
		lines[i] = Clean(line)
	}
	if _, err := io.WriteString(h.w, strings.Join(lines, "\n")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// harmful are all characters that are not printed themselves.
func harmful(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
