// Package show prints what commands found: tables for people, JSON for programs. Text
// that came over a socket is made harmless before it reaches a terminal.
package show

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
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

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) - 1 }

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
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Line prints v as JSON on one line.
func Line(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
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

// harmful are all characters that are not printed themselves.
func harmful(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
