package debugrollcall

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"github.com/rollcall-dns/rollcall/rpcserver/shed"
)

// Page shows clients, servers and limits, each by a name of your choice. The pattern that
// it is served under must end in "/": its links are relative. Its fields must not change
// while it is served.
type Page struct {
	Clients map[string]*rpcclient.Client
	Servers map[string]*rpcserver.Server
	Limits  map[string]*shed.Limit // of servers
}

// ofClient is the beginning of the last part of the path of a client's own page.
const ofClient = "client-"

// linkTo is the way from the page to that of a client. With "./", what is before a colon in
// the name is not taken for the scheme of a URL.
func linkTo(name string) string { return "./" + ofClient + url.PathEscape(name) }

// ServeHTTP serves the page, and those of the clients.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	path := r.URL.EscapedPath()
	last := path[strings.LastIndexByte(path, '/')+1:]
	if name, ok := strings.CutPrefix(last, ofClient); ok {
		name, err := url.PathUnescape(name)
		if c := p.Clients[name]; err == nil && c != nil {
			c.ServeHTTP(w, r)
			return
		}
	}
	if last != "" {
		http.NotFound(w, r)
		return
	}
	p.serveAll(w, r)
}

func (p *Page) serveAll(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		h.Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.Encode(p.view(time.Now())) // an error means that the reader has gone
	case "", "html":
		s := sheet()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", s.policy)
		h.Set("Referrer-Policy", "no-referrer")
		s.template.Execute(w, p.view(time.Now()))
	default:
		http.Error(w, fmt.Sprintf("format %q: want html or json", format), http.StatusBadRequest)
	}
}

//go:embed page.html
var html string

// sheet is the template of the page, and the policy that lets a browser use the page's own
// style and nothing else.
var sheet = sync.OnceValue(func() (s struct {
	template *template.Template
	policy   string
},
) {
	s.template = template.Must(template.New("page").Parse(html))
	_, style, _ := strings.Cut(html, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	s.policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return s
})
