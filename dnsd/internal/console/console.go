package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html"
	"path"
	"strings"
)

//go:embed page
var page embed.FS

// Policy is the Content-Security-Policy of every file (CSP level 3): the page's own files
// and requests to its own origin, and nothing else. Nothing is inline.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// index is the page itself.
const index = "index.html"

// types are the media types by the ending of a name.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// File is one file, ready to be sent.
type File struct {
	Type string
	ETag string
	Body []byte
}

// Page is the page of one zone, and the files that it loads. It is made once, and all
// requests share it.
type Page struct {
	File
	files map[string]File
}

// For makes the page of a zone, whose filter of events offers the kinds.
func For(zone string, kinds []string) Page {
	p := Page{files: make(map[string]File)}
	entries, err := page.ReadDir("page")
	if err != nil {
		panic(fmt.Sprintf("console: the embedded folder cannot be read: %v", err)) // a fault of the build
	}
	for _, e := range entries {
		body, err := page.ReadFile("page/" + e.Name())
		if err != nil {
			panic(fmt.Sprintf("console: an embedded file cannot be read: %v", err))
		}
		if e.Name() == index {
			text := strings.NewReplacer(
				`data-zone=""`, `data-zone="`+html.EscapeString(zone)+`"`,
				`data-events=""`, `data-events="`+html.EscapeString(strings.Join(kinds, ","))+`"`).Replace(string(body))
			p.File = file(index, []byte(text))
			continue
		}
		p.files[e.Name()] = file(e.Name(), body)
	}
	return p
}

func file(name string, body []byte) File {
	sum := sha256.Sum256(body)
	return File{types[path.Ext(name)], `"` + hex.EncodeToString(sum[:12]) + `"`, body}
}

// Load returns one of the files that the page loads, by its name.
func (p Page) Load(name string) (File, bool) {
	f, ok := p.files[name]
	return f, ok
}
