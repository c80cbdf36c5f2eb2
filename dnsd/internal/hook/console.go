package hook

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html"
	"net/http"
	"strconv"
	"strings"
)

//go:embed console.html
var consolePage string

// consolePolicy allows the page's own style and script by their hashes, requests
// to this hook, and nothing else.
func consolePolicy() string {
	return "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; style-src " + inlineHash("style") + "; script-src " + inlineHash("script")
}

// inlineHash is the source expression for the one element of that name in the page
// (CSP level 3, section 2.3.1).
func inlineHash(element string) string {
	_, rest, _ := strings.Cut(consolePage, "<"+element+">")
	body, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(body))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// console serves the page. The page has no data of the registry: it reads the same API
// as any client, with the same tokens.
func (x *exchange) console() error {
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", x.s.consolePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(x.st.console)))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(x.st.console)
	}
	return nil
}

// consoleFor is the page for a zone. It is made once a configuration, and all requests
// share it, also those whose readers do not read.
func consoleFor(zone string) []byte {
	return []byte(strings.Replace(consolePage, `data-zone=""`, `data-zone="`+html.EscapeString(zone)+`"`, 1))
}
